// The rowwise kernels for Python: the class dimension is taken apart, and the mean's denominator counted first.
#include <memory>
#include <vector>

#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(RowwiseKernels, rowwise_kernels)

namespace lossmith {

namespace {

enum Status { DONE, OUTSIDE, EMPTY };
// What the sum is divided by: a number, the rows that count, or the class weights of their labels.
enum Counting { NUMBER, ROWS, CLASS_WEIGHTS };

// A tensor without its class dimension, and the stride of that.
struct Rows {
    std::vector<std::int64_t> sizes, strides;
    DLTensor view;
    std::int64_t step;

    Rows(const DLTensor& given, const int dim) : view(given), step(given.strides[dim]) {
        for (int d = 0; d < given.ndim; ++d) {
            if (d == dim) continue;
            sizes.push_back(given.shape[d]);
            strides.push_back(given.strides[d]);
        }
        view.ndim = given.ndim - 1;
        view.shape = sizes.data();
        view.strides = strides.data();
    }
    Rows(const Rows&) = delete;
};

double total(void (*kernel)(const RowwiseCall&), RowwiseCall& call, bool& outside) {
    const std::int64_t pieces = pieces_of(call);
    std::unique_ptr<RowPartial[]> partials(new RowPartial[static_cast<std::size_t>(pieces)]);
    call.partials = partials.get();
    kernel(call);
    double sum = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
        sum += partials[piece].total;
        outside |= partials[piece].outside;
    }
    return sum;
}

// The loss into `value`, divided by what `counting` says and by `divisor` (0: each row's stays by itself), and its
// gradients times `scale`, divided likewise.
int rowwise(int loss, bool wide, nb::handle input, int dim, nb::handle target, nb::handle class_weight,
            nb::handle ignored, double smoothing, double gamma, double margin, int power, const nb::tuple& distillation,
            const nb::tuple& factors, nb::handle mask, int counting, double divisor, double scale, nb::handle value,
            nb::handle gradient, nb::handle target_gradient, int threads) {
    RowwiseCall call;
    if (loss < 0 || loss > static_cast<int>(RowLoss::focal_probabilities)) throw nb::value_error("no such loss");
    call.loss = static_cast<RowLoss>(loss);
    const bool labelled = !takes_numbers(call.loss) && call.loss != RowLoss::margins_of_set;
    call.wide = wide;
    call.smoothing = smoothing, call.gamma = gamma, call.margin = margin, call.power = power, call.scale = scale;
    if (!ignored.is_none()) call.ignores = true, call.ignored = nb::cast<std::int64_t>(ignored);

    const DLTensor scores = view_of(input), aims = view_of(target), result = view_of(value);
    if (dim < 0 || dim >= scores.ndim) throw nb::value_error("no such class dimension");
    call.classes = scores.shape[dim];
    if (call.classes == 0) throw nb::value_error("there are no classes");
    const auto same_shape = [&](const DLTensor& view) {
        if (view.ndim != scores.ndim || !std::equal(view.shape, view.shape + view.ndim, scores.shape))
            throw nb::value_error("a tensor does not have the shape of the scores");
    };

    Layout layout;
    const Rows rows(scores, dim);
    layout.grow(rows.view);
    layout.add(rows.view, call.input);
    call.input_step = rows.step;
    std::unique_ptr<Rows> others[3];
    const auto add = [&](const DLTensor& view, Strided& out, std::int64_t& step, std::unique_ptr<Rows>& keep) {
        same_shape(view);
        keep.reset(new Rows(view, dim));
        layout.add(keep->view, out);
        step = keep->step;
    };
    const auto add_labels = [&](const DLTensor& view) {
        if (dtype_of(view) < Dtype::i8 || dtype_of(view) == Dtype::boolean) throw nb::type_error("labels are integers");
        if (view.ndim != rows.view.ndim || !std::equal(view.shape, view.shape + view.ndim, rows.view.shape))
            throw nb::value_error("there must be one label for each row");
        layout.add(view, call.labels);
    };
    if (labelled) {
        add_labels(aims);
    } else {
        add(aims, call.target, call.target_step, others[0]);
    }
    if (call.loss == RowLoss::distillation) {
        if (!distillation[0].is_none()) add_labels(view_of(distillation[0]));
        const int divergence = nb::cast<int>(distillation[1]);
        if (divergence < 0 || divergence > static_cast<int>(Divergence::js)) throw nb::value_error("no such divergence");
        call.distillation = {static_cast<Divergence>(divergence), nb::cast<double>(distillation[2]),
                             nb::cast<double>(distillation[3]), nb::cast<double>(distillation[4])};
    }
    const auto add_gradient = [&](nb::handle given, Strided& out, std::int64_t& step, std::unique_ptr<Rows>& keep) {
        if (given.is_none()) return;
        const DLTensor view = view_of(given);
        if (dtype_of(view) > Dtype::bf16) throw nb::type_error("a gradient must be floating");
        add(view, out, step, keep);
        advise(view);
    };
    add_gradient(gradient, call.gradient, call.gradient_step, others[1]);
    add_gradient(target_gradient, call.target_gradient, call.target_gradient_step, others[2]);
    if (factors.size() > 2) throw nb::value_error("too many factors");
    for (nb::handle factor : factors) layout.add(view_of(factor), call.factor[call.factors++]);
    if (!mask.is_none()) {
        const DLTensor view = view_of(mask);
        if (dtype_of(view) != Dtype::boolean) throw nb::type_error("a mask must be bool");
        layout.add(view, call.mask);
    }
    if (dtype_of(result) > Dtype::bf16) throw nb::type_error("a loss must be floating");
    const bool reduced = counting != NUMBER || divisor != 0;
    if (!reduced) layout.add(result, call.value);
    else if (count_of(result) != 1) throw nb::value_error("a reduced loss is one number");
    layout.simplify(call.rows);
    for (int d = 0; d < call.rows.dims; ++d)
        for (const Strided* out : {&call.value, &call.gradient, &call.target_gradient})
            if (out->data && out->stride[d] == 0 && call.rows.size[d] > 1)
                throw nb::value_error("a result must have the whole shape");

    std::vector<double> weight(static_cast<std::size_t>(class_weight.is_none() ? 0 : call.classes));
    call.weight_sum = static_cast<double>(call.classes);
    if (!class_weight.is_none()) {
        const DLTensor view = view_of(class_weight);
        if (view.ndim != 1 || view.shape[0] != call.classes) throw nb::value_error("there must be a weight for each class");
        const char* const from = static_cast<const char*>(view.data);
        const std::size_t n = weight.size();
        if (wide) {
            load<double>(from, dtype_of(view), view.strides[0], n, weight.data());
            call.weight_sum = sum(weight.data(), n);
        } else {
            float* const narrow = reinterpret_cast<float*>(weight.data());
            load<float>(from, dtype_of(view), view.strides[0], n, narrow);
            call.weight_sum = sum(narrow, n);
        }
        call.class_weight = weight.data();
    }
    const std::int64_t elements = call.rows.count * call.classes;
    call.threads = threads_for(elements, threads);

    nb::gil_scoped_release unlocked;
    const RowwiseKernels& kernels = chosen_rowwise_kernels();
    bool outside = false;
    if (counting != NUMBER) {
        const void* const kept = call.class_weight;
        if (counting == ROWS) call.class_weight = nullptr;
        call.threads = threads_for(call.rows.count, threads);
        divisor *= total(kernels.weigh, call, outside);
        call.class_weight = kept, call.threads = threads_for(elements, threads);
        if (outside) return OUTSIDE;
        if (divisor == 0) return EMPTY;
    }
    if (reduced) call.scale /= divisor;
    call.scratch_bytes = scratch_of(call);
    std::unique_ptr<char[]> scratch(new char[static_cast<std::size_t>(call.scratch_bytes * call.threads)]);
    call.scratch = scratch.get();
    const double sum = total(kernels.run, call, outside);
    if (outside) return OUTSIDE;
    if (reduced) {
        const double quotient = sum / divisor;
        const float rounded = static_cast<float>(quotient);
        char* const to = static_cast<char*>(result.data);
        wide ? store<double>(&quotient, to, dtype_of(result), 1, 1) : store<float>(&rounded, to, dtype_of(result), 1, 1);
    }
    return DONE;
}

}  // namespace

void bind_rowwise(nb::module_& module) {
    module.def("rowwise", &rowwise, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
               nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
               nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg());
}

}  // namespace lossmith
