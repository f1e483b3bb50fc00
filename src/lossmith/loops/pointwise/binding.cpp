// The pointwise kernel for Python: a call's tensors are brought into one shape, and its partial sums into one number.
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "formulas.h"
#include "formulas.sha256.h"
#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(PointwiseKernels, pointwise_kernels)

namespace lossmith {

namespace {

const char* const FORMULAS[] = {
#define LOSSMITH_NAME(name, operands, parameters) #name,
    LOSSMITH_FORMULAS(LOSSMITH_NAME)};
const int OPERANDS[] = {
#define LOSSMITH_OPERANDS(name, operands, parameters) operands,
    LOSSMITH_FORMULAS(LOSSMITH_OPERANDS)};
const int PARAMETERS[] = {
#define LOSSMITH_PARAMETERS(name, operands, parameters) parameters,
    LOSSMITH_FORMULAS(LOSSMITH_PARAMETERS)};

// Runs a kernel with room for its partial sums, without Python's lock.
double total(void (*kernel)(const PointwiseCall&), PointwiseCall& call, bool& outside) {
    const std::int64_t pieces = pieces_of(call.shape.count);
    Partial few[8];
    std::unique_ptr<Partial[]> many(pieces > 8 ? new Partial[static_cast<std::size_t>(pieces)] : nullptr);
    call.partials = many ? many.get() : few;
    if (call.threads > 1 || pieces > 1) {
        nb::gil_scoped_release unlocked;
        kernel(call);
    } else {
        kernel(call);
    }
    double sum = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
        sum += call.partials[piece].total;
        outside |= call.partials[piece].outside;
    }
    return sum;
}

void add_weights(Layout& layout, PointwiseCall& call, const nb::tuple& factors, nb::handle mask) {
    if (factors.size() > MAX_FACTORS) throw nb::value_error("too many factors");
    for (nb::handle factor : factors) layout.add(view_of(factor), call.factor[call.factors++]);
    if (mask.is_none()) return;
    const DLTensor view = view_of(mask);
    if (dtype_of(view) != Dtype::boolean) throw nb::type_error("a mask must be bool");
    layout.add(view, call.mask);
}

// The loss into `value`, divided by `divisor` if that is one number, and its gradients times `scale` into `gradients`,
// each None or of its operand's dtype and of the whole shape. Returns whether all operands lay in their bounds, each
// None or (low, high, NaN is inside).
bool pointwise(int formula, bool wide, const nb::tuple& operands, const nb::tuple& parameters, const nb::tuple& bounds,
               const nb::tuple& factors, nb::handle mask, double scale, double divisor, nb::handle value,
               const nb::list& gradients, int threads) {
    if (formula < 0 || formula >= static_cast<int>(std::size(FORMULAS))) throw nb::value_error("no such formula");
    PointwiseCall call;
    call.formula = formula;
    call.wide = wide;
    call.scale = scale;
    call.operands = static_cast<int>(operands.size());
    if (call.operands != OPERANDS[formula] || static_cast<int>(parameters.size()) != PARAMETERS[formula] ||
        gradients.size() != operands.size() || (bounds.size() != 0 && bounds.size() != operands.size()))
        throw nb::value_error("a formula was called with the wrong number of arguments");
    for (std::size_t p = 0; p < parameters.size(); ++p) call.parameter[p] = nb::cast<double>(parameters[p]);

    DLTensor views[MAX_OPERANDS];
    bool numbers[MAX_OPERANDS];
    Layout layout;
    for (int k = 0; k < call.operands; ++k) {
        numbers[k] = PyFloat_Check(operands[k].ptr());
        if (numbers[k]) {
            call.number[k] = nb::cast<double>(operands[k]);
        } else {
            views[k] = view_of(operands[k]);
            layout.grow(views[k]);
        }
    }
    for (int k = 0; k < call.operands; ++k) {
        if (!numbers[k]) layout.add(views[k], call.operand[k]);
        if (bounds.size() == 0 || bounds[k].is_none()) continue;
        const nb::tuple bound = nb::cast<nb::tuple>(bounds[k]);
        call.bounded[k] = true;
        call.low[k] = nb::cast<double>(bound[0]), call.high[k] = nb::cast<double>(bound[1]);
        call.nan_is_inside[k] = nb::cast<bool>(bound[2]);
    }
    add_weights(layout, call, factors, mask);
    for (int k = 0; k < call.operands; ++k) {
        if (gradients[k].is_none()) continue;
        const DLTensor view = view_of(gradients[k]);
        if (dtype_of(view) > Dtype::bf16) throw nb::type_error("a gradient must be floating");
        layout.add(view, call.gradient[k]);
        advise(view);
    }
    const DLTensor result = view_of(value);
    if (dtype_of(result) > Dtype::bf16) throw nb::type_error("a loss must be floating");
    const bool scalar = divisor != 0;
    if (!scalar) {
        layout.add(result, call.value);
        advise(result);
    } else if (count_of(result) != 1) {
        throw nb::value_error("a reduced loss is one number");
    }
    layout.simplify(call.shape);
    // what is written must not be a repeated place
    for (int d = 0; d < call.shape.dims; ++d)
        for (const Strided* out : {&call.value, &call.gradient[0], &call.gradient[1], &call.gradient[2], &call.gradient[3]})
            if (out->data && out->stride[d] == 0 && call.shape.size[d] > 1)
                throw nb::value_error("a result must have the whole shape");
    call.threads = threads_for(call.shape.count, threads);

    bool outside = false;
    const double sum = total(chosen_pointwise_kernels().run, call, outside);
    if (scalar) {
        const double quotient = sum / divisor;
        if (wide) {
            store<double>(&quotient, static_cast<char*>(result.data), dtype_of(result), 1, 1);
        } else {
            const float rounded = static_cast<float>(quotient);
            store<float>(&rounded, static_cast<char*>(result.data), dtype_of(result), 1, 1);
        }
    }
    return !outside;
}

// The sum of the products of the factors where the mask is True, in the shape that they broadcast to.
double weigh(const nb::tuple& factors, nb::handle mask, bool wide, int threads) {
    PointwiseCall call;
    call.wide = wide;
    Layout layout;
    for (nb::handle factor : factors) layout.grow(view_of(factor));
    if (!mask.is_none()) layout.grow(view_of(mask));
    add_weights(layout, call, factors, mask);
    if (!call.factors && !call.mask.data) throw nb::value_error("there is nothing to weigh");
    layout.simplify(call.shape);
    call.threads = threads_for(call.shape.count, threads);
    bool outside = false;
    return total(chosen_pointwise_kernels().weigh, call, outside);
}

// Multiplies gradients, float32 or float64, where they lie.
void rescale(const nb::list& gradients, double factor, int threads) {
    for (nb::handle gradient : gradients) {
        const DLTensor view = view_of(gradient);
        PointwiseCall call;
        call.wide = dtype_of(view) == Dtype::f64;
        if (!call.wide && dtype_of(view) != Dtype::f32) throw nb::type_error("a gradient must be float32 or float64");
        call.scale = factor;
        Layout layout;
        layout.grow(view);
        layout.add(view, call.gradient[0]);
        layout.simplify(call.shape);
        call.threads = threads_for(call.shape.count, threads);
        bool outside = false;
        total(chosen_pointwise_kernels().rescale, call, outside);
    }
}

// The sums over the middle dimension of three, float32 or float64 and contiguous, into float64 numbers.
void sum_middle(nb::handle given, nb::handle result, int threads) {
    const DLTensor from = view_of(given), to = view_of(result);
    const auto contiguous = [](const DLTensor& view) {
        std::int64_t step = 1;
        for (int d = view.ndim - 1; d >= 0; --d) {
            if (view.shape[d] > 1 && view.strides[d] != step && count_of(view) > 0) return false;
            step *= view.shape[d];
        }
        return true;
    };
    SumCall call;
    call.wide = dtype_of(from) == Dtype::f64;
    if ((!call.wide && dtype_of(from) != Dtype::f32) || dtype_of(to) != Dtype::f64)
        throw nb::type_error("float32 or float64 is summed into float64");
    if (from.ndim != 3 || to.ndim != 2 || to.shape[0] != from.shape[0] || to.shape[1] != from.shape[2] ||
        !contiguous(from) || !contiguous(to))
        throw nb::value_error("contiguous numbers of the shape (a, b, c) are summed into (a, c)");
    call.from = from.data;
    call.outer = from.shape[0], call.terms = from.shape[1], call.inner = from.shape[2];
    const std::int64_t chunk = terms_of_chunk(call);
    call.chunks = (call.terms + chunk - 1) / chunk;
    call.threads = threads_for(count_of(from), threads);
    std::vector<double> sums(static_cast<std::size_t>(call.outer * call.chunks * call.inner));
    call.sums = sums.data();
    nb::gil_scoped_release unlocked;
    chosen_pointwise_kernels().sum(call);
    double* const out = static_cast<double*>(to.data);
    for (std::int64_t a = 0; a < call.outer; ++a) {
        double* const row = out + a * call.inner;
        for (std::int64_t i = 0; i < call.inner; ++i) row[i] = 0;
        for (std::int64_t k = 0; k < call.chunks; ++k)
            for (std::int64_t i = 0; i < call.inner; ++i) row[i] += sums[(a * call.chunks + k) * call.inner + i];
    }
}

}  // namespace

void bind_pointwise(nb::module_& module) {
    module.def("pointwise", &pointwise, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
               nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
    module.def("rescale", &rescale);
    module.def("sum_middle", &sum_middle);
    module.def("weigh", &weigh, nb::arg(), nb::arg().none(), nb::arg(), nb::arg());
    // of the printed formulas that were compiled, to tell whether they are those of today
    module.def("printed", [] { return LOSSMITH_FORMULAS_SHA256; });
    module.def("formulas", [] {
        nb::dict found;
        for (std::size_t i = 0; i < std::size(FORMULAS); ++i) found[FORMULAS[i]] = i;
        return found;
    });
}

}  // namespace lossmith
