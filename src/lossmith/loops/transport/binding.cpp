// The transport kernel for Python: two matrices of points, with or without weights, one distribution a row.
#include <memory>

#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(TransportKernels, transport_kernels)

namespace lossmith {

namespace {

TransportCall::Rows rows_of(nb::handle given, const std::int64_t rows, const std::int64_t size) {
    if (given.is_none()) return {};
    const DLTensor view = view_of(given);
    if (view.ndim != 2 || (view.shape[0] != rows && view.shape[0] != 1) || view.shape[1] != size)
        throw nb::value_error("points and weights must be matrices of one distribution a row");
    return {static_cast<char*>(view.data), dtype_of(view), view.shape[0] == 1 && rows != 1 ? 0 : view.strides[0],
            view.strides[1]};
}

TransportCall::Rows gradient_of(nb::handle given, const std::int64_t rows, const std::int64_t size) {
    const TransportCall::Rows found = rows_of(given, rows, size);
    if (given.is_none()) return found;
    const DLTensor view = view_of(given);
    if (view.shape[0] != rows || found.dtype > Dtype::bf16) throw nb::value_error("a gradient must have all rows");
    advise(view);
    return found;
}

TransportCall::Numbers numbers_of(nb::handle given, const std::int64_t rows) {
    const DLTensor view = view_of(given);
    if (view.ndim > 1 || (view.ndim == 1 && view.shape[0] != rows && view.shape[0] != 1))
        throw nb::value_error("there must be one number for each row, or one for all");
    return {static_cast<char*>(view.data), dtype_of(view), view.ndim == 0 || view.shape[0] == 1 ? 0 : view.strides[0]};
}

// The loss of each of the rows into `value`, or their sum divided by `divisor` (0: each stays by itself), and the
// gradients times `scale`. False where weights are no weights: then the results are none.
bool transport(bool wide, std::int64_t rows, double p, const nb::tuple& points, const nb::tuple& weights,
               const nb::tuple& factors, nb::handle mask, double scale, double divisor, nb::handle value,
               const nb::tuple& gradients, int threads) {
    TransportCall call;
    if (points.size() != 2 || weights.size() != 2 || gradients.size() != 4 || factors.size() > 3)
        throw nb::value_error("transport was called with the wrong number of tensors");
    call.wide = wide, call.rows = rows, call.p = p, call.scale = scale;
    for (std::size_t k = 0; k < 2; ++k) {
        TransportCall::Side& side = call.sides[k];
        const DLTensor view = view_of(points[k]);
        side.size = view.ndim == 2 ? view.shape[1] : 0;
        if (side.size < 1 || side.size > std::int64_t(1) << 31) throw nb::value_error("a distribution has no points");
        side.points = rows_of(points[k], rows, side.size);
        side.weights = rows_of(weights[k], rows, side.size);
        side.gradient = gradient_of(gradients[k], rows, side.size);
        side.weight_gradient = gradient_of(gradients[k + 2], rows, side.size);
        if (side.weight_gradient.data && !side.weights.data) throw nb::value_error("a gradient of no weights");
    }
    for (nb::handle factor : factors) call.factor[call.factors++] = numbers_of(factor, rows);
    if (!mask.is_none()) {
        call.mask = numbers_of(mask, rows);
        if (call.mask.dtype != Dtype::boolean) throw nb::type_error("a mask must be bool");
    }
    const DLTensor result = view_of(value);
    if (dtype_of(result) > Dtype::bf16) throw nb::type_error("a loss must be floating");
    if (divisor == 0) {
        if (result.ndim != 1 || result.shape[0] != rows) throw nb::value_error("there must be a loss for each row");
        call.values = numbers_of(value, rows);
    } else if (count_of(result) != 1) {
        throw nb::value_error("a reduced loss is one number");
    }
    call.threads = threads_for(rows * (call.sides[0].size + call.sides[1].size), threads);

    nb::gil_scoped_release unlocked;
    const std::size_t pieces = static_cast<std::size_t>(transport_pieces(call));
    std::unique_ptr<double[]> partials(new double[pieces + 1]());
    std::unique_ptr<bool[]> outside(new bool[pieces + 1]());
    call.partials = partials.get(), call.outside = outside.get();
    constexpr std::size_t LINE = 64;
    const std::size_t bytes = transport_scratch(call) * static_cast<std::size_t>(call.threads) + LINE;
    std::unique_ptr<char[]> scratch(new char[bytes]);
    call.scratch = scratch.get() + (LINE - reinterpret_cast<std::uintptr_t>(scratch.get()) % LINE) % LINE;
    chosen_transport_kernels().run(call);
    double sum = 0;
    bool inside = true;
    for (std::size_t piece = 0; piece < pieces; ++piece) sum += partials[piece], inside = inside && !outside[piece];
    if (divisor == 0) return inside;
    const double quotient = sum / divisor;
    const float rounded = static_cast<float>(quotient);
    char* const to = static_cast<char*>(result.data);
    wide ? store<double>(&quotient, to, dtype_of(result), 1, 1) : store<float>(&rounded, to, dtype_of(result), 1, 1);
    return inside;
}

}  // namespace

void bind_transport(nb::module_& module) {
    module.def("transport", &transport, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
               nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
}

}  // namespace lossmith
