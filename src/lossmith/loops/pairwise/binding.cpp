// The pairwise kernels for Python: two or three matrices of one vector a row, either of whose dimensions may be repeated.
#include <memory>

#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(PairwiseKernels, pairwise_kernels)

namespace lossmith {

namespace {

PairwiseCall::Vectors vectors_of(nb::handle given, const std::int64_t rows, const std::int64_t width) {
    const DLTensor view = view_of(given);
    if (view.ndim != 2 || (view.shape[0] != rows && view.shape[0] != 1) || (view.shape[1] != width && view.shape[1] != 1))
        throw nb::value_error("vectors must be a matrix of one vector a row");
    return {static_cast<char*>(view.data), dtype_of(view), view.shape[0] == 1 && rows != 1 ? 0 : view.strides[0],
            view.shape[1] == 1 && width != 1 ? 0 : view.strides[1]};
}

PairwiseCall::Numbers numbers_of(nb::handle given, const std::int64_t rows) {
    const DLTensor view = view_of(given);
    if (view.ndim > 1 || (view.ndim == 1 && view.shape[0] != rows && view.shape[0] != 1))
        throw nb::value_error("there must be one number for each row, or one for all");
    return {static_cast<char*>(view.data), dtype_of(view), view.ndim == 0 || view.shape[0] == 1 ? 0 : view.strides[0]};
}

// The loss of (rows, width) vectors into `value`, divided by `divisor` (0: each row's stays by itself), and the
// gradients times `scale` into matrices of all rows. False if a target is none of those that the loss knows.
bool pairwise(int loss, bool wide, std::int64_t rows, std::int64_t width, const nb::tuple& operands, nb::handle target,
              double margin, double positive_margin, double p, double eps, double similar, double dissimilar,
              bool squared, bool swap, bool normalize, const nb::tuple& factors, nb::handle mask, double scale,
              double divisor, nb::handle value, const nb::tuple& gradients, int threads) {
    PairwiseCall call;
    call.loss = static_cast<PairwiseLoss>(loss);
    const bool pairs = call.loss != PairwiseLoss::triplet_margin;
    const std::size_t count = pairs ? 2 : 3;
    if (loss < 0 || loss > 2 || operands.size() != count || gradients.size() != count || factors.size() > 3)
        throw nb::value_error("a pairwise loss was called with the wrong number of tensors");
    if (normalize && !wide) throw nb::value_error("vectors that are scaled to the length of 1 must be compared wide");
    call.wide = wide, call.normalize = normalize, call.rows = rows, call.width = width, call.scale = scale;
    call.margin = margin, call.positive_margin = positive_margin, call.p = p, call.eps = eps;
    call.similar = similar, call.dissimilar = dissimilar, call.squared = squared, call.swap = swap;
    for (std::size_t k = 0; k < count; ++k) {
        call.operands[k] = vectors_of(operands[k], rows, width);
        if (gradients[k].is_none()) continue;
        const DLTensor view = view_of(gradients[k]);
        if (view.ndim != 2 || view.shape[0] != rows || view.shape[1] != width || dtype_of(view) > Dtype::bf16)
            throw nb::value_error("a gradient must have all rows");
        call.gradients[k] = vectors_of(gradients[k], rows, width);
        advise(view);
    }
    if (pairs) call.target = numbers_of(target, rows);
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
    call.threads = threads_for(rows * width, threads);

    nb::gil_scoped_release unlocked;
    const std::size_t pieces = static_cast<std::size_t>(pairwise_pieces(call));
    std::unique_ptr<PairwisePartial[]> partials(new PairwisePartial[pieces + 1]());
    call.partials = partials.get();
    constexpr std::size_t LINE = 64;
    const std::size_t bytes = pairwise_scratch(call) * static_cast<std::size_t>(call.threads) + LINE;
    std::unique_ptr<char[]> scratch(new char[bytes]);
    call.scratch = scratch.get() + (LINE - reinterpret_cast<std::uintptr_t>(scratch.get()) % LINE) % LINE;
    chosen_pairwise_kernels().run(call);
    double sum = 0;
    bool outside = false;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
        sum += partials[piece].sum;
        outside |= partials[piece].outside;
    }
    if (divisor == 0) return !outside;
    const double quotient = sum / divisor;
    const float rounded = static_cast<float>(quotient);
    char* const to = static_cast<char*>(result.data);
    wide ? store<double>(&quotient, to, dtype_of(result), 1, 1) : store<float>(&rounded, to, dtype_of(result), 1, 1);
    return !outside;
}

}  // namespace

void bind_pairwise(nb::module_& module) {
    module.def("pairwise", &pairwise, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(),
               nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
               nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
}

}  // namespace lossmith
