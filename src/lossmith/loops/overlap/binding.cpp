// The overlap kernels for Python: tensors are taken apart into samples, classes and pixels; between the two passes stands
// the loss of each region, a formula of its sums.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "formulas.h"
#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(OverlapKernels, overlap_kernels)

namespace lossmith {

namespace {

enum Status { DONE, OUTSIDE, EMPTY };
// What the sum is divided by: a number, the regions that count, or their class weights.
enum Counting { NUMBER, REGIONS, CLASS_WEIGHTS };

// A tensor without its batch and class dimensions, and its strides along those; dimensions of -1 are none.
struct Pixels {
    std::vector<std::int64_t> sizes, strides;
    DLTensor view;

    Pixels(const DLTensor& given, const int batch, const int dim, OverlapCall::Field& field) : view(given) {
        for (int d = 0; d < given.ndim; ++d) {
            if (d == batch) {
                field.sample = given.strides[d];
            } else if (d == dim) {
                field.step = given.shape[d] == 1 ? 0 : given.strides[d];
            } else {
                sizes.push_back(given.shape[d]);
                strides.push_back(given.strides[d]);
            }
        }
        view.ndim = static_cast<std::int32_t>(sizes.size());
        view.shape = sizes.data();
        view.strides = strides.data();
    }
    Pixels(const Pixels&) = delete;
};

// One number for each region, of a tensor of samples and classes, or of classes alone.
struct PerRegion {
    DLTensor view;
    std::int64_t sample = 0, step = 0;

    PerRegion(const nb::handle given, const std::int64_t samples, const std::int64_t classes) : view(view_of(given)) {
        const int last = view.ndim - 1;
        if (view.ndim < 1 || view.ndim > 2 || view.shape[last] != classes || (view.ndim == 2 && view.shape[0] != samples))
            throw nb::value_error("there must be one number for each region");
        step = view.strides[last];
        if (view.ndim == 2) sample = view.strides[0];
    }
    double at(const std::int64_t n, const std::int64_t c) const {
        return load_one<double>(static_cast<const char*>(view.data), dtype_of(view), n * sample + c * step);
    }
};

// The index's weights of what is missing and what is too much, and how it is smoothed.
struct Index {
    double alpha, beta, smooth, gap, gamma;

    double loss(const RegionSums& sums, RegionSlopes& slopes) const {
        const double excess = sums.predicted - sums.common, missed = sums.wanted - sums.common;
        const auto [value, of_common, of_excess, of_missed] =
            tversky<double>(sums.common, excess, missed, alpha, beta, smooth, gap);
        slopes = {of_common - of_excess - of_missed, of_excess, of_missed};
        if (gamma == 1) return value;
        // a perfect region has no slope, where the power's would be infinite
        const double outer = value == 0 ? 0 : gamma * std::pow(value, gamma - 1);
        slopes.common *= outer, slopes.predicted *= outer, slopes.wanted *= outer;
        return std::pow(value, gamma);
    }
};

// The loss into `value`, divided by what `counting` says and by `divisor` (0: each region's stays by itself), and its
// gradients times `scale`, divided likewise. parameters: those of Index.
int overlap(int activation, bool wide, bool squared, bool batch, bool background, const nb::tuple& parameters,
            nb::handle input, int dim, nb::handle target, nb::handle ignored, nb::handle kept, nb::handle class_weight,
            const nb::tuple& factors, nb::handle mask, int counting, double divisor, double scale, nb::handle value,
            nb::handle gradient, nb::handle target_gradient, int threads) {
    OverlapCall call;
    if (activation < 0 || activation > static_cast<int>(Activation::softmax)) throw nb::value_error("no such activation");
    call.activation = static_cast<Activation>(activation);
    call.wide = wide, call.squared = squared;
    if (!ignored.is_none()) call.ignores = true, call.ignored = nb::cast<std::int64_t>(ignored);
    if (parameters.size() != 5) throw nb::value_error("there must be five parameters");
    const auto parameter = [&](const int i) { return nb::cast<double>(parameters[i]); };
    const Index index{parameter(0), parameter(1), parameter(2), parameter(3), parameter(4)};

    const DLTensor scores = view_of(input), aims = view_of(target), result = view_of(value);
    if (scores.ndim < 2 || dim < 1 || dim >= scores.ndim) throw nb::value_error("no such class dimension");
    call.classes = scores.shape[dim];
    call.samples = batch ? 1 : scores.shape[0];
    if (call.classes == 0 || call.classes > INT32_MAX) throw nb::value_error("there are no classes, or too many");
    call.labelled = aims.ndim == scores.ndim - 1;

    Layout layout;
    const int outer = batch ? -1 : 0;
    std::vector<std::unique_ptr<Pixels>> views;
    const auto add = [&](const DLTensor& view, OverlapCall::Field& field) {
        if (view.ndim != scores.ndim || !std::equal(view.shape, view.shape + view.ndim, scores.shape))
            throw nb::value_error("a tensor does not have the shape of the scores");
        views.push_back(std::make_unique<Pixels>(view, outer, dim, field));
        if (views.size() == 1) layout.grow(views.back()->view);
        layout.add(views.back()->view, field.pixels);
    };
    add(scores, call.input);
    if (call.labelled) {
        if (dtype_of(aims) < Dtype::i8 || dtype_of(aims) == Dtype::boolean) throw nb::type_error("labels are integers");
        for (int d = 0, e = 0; e < scores.ndim; ++e)
            if (e != dim && aims.shape[d++] != scores.shape[e]) throw nb::value_error("there must be a label for each pixel");
        views.push_back(std::make_unique<Pixels>(aims, outer, -1, call.target));
        layout.add(views.back()->view, call.target.pixels);
    } else {
        add(aims, call.target);
    }
    if (!kept.is_none()) {
        const DLTensor view = view_of(kept);
        if (dtype_of(view) != Dtype::boolean) throw nb::type_error("a mask must be bool");
        add(view, call.kept);
    }
    const auto add_gradient = [&](nb::handle given, OverlapCall::Field& field) {
        if (given.is_none()) return;
        const DLTensor view = view_of(given);
        if (dtype_of(view) > Dtype::bf16) throw nb::type_error("a gradient must be floating");
        add(view, field);
        advise(view);
    };
    add_gradient(gradient, call.gradient);
    add_gradient(target_gradient, call.target_gradient);
    layout.simplify(call.pixels);

    const std::int64_t classes = call.classes, regions = call.samples * classes;
    if (dtype_of(result) > Dtype::bf16) throw nb::type_error("a loss must be floating");
    const bool reduced = counting != NUMBER || divisor != 0;
    if (count_of(result) != (reduced ? 1 : regions)) throw nb::value_error("there must be a loss for each region, or one");
    std::vector<PerRegion> weights;
    std::unique_ptr<PerRegion> of_class, counts;
    if (!class_weight.is_none()) of_class = std::make_unique<PerRegion>(class_weight, 1, classes);
    for (nb::handle factor : factors) weights.emplace_back(factor, call.samples, classes);
    if (!mask.is_none()) {
        counts = std::make_unique<PerRegion>(mask, call.samples, classes);
        if (dtype_of(counts->view) != Dtype::boolean) throw nb::type_error("a mask must be bool");
    }
    const std::int64_t elements = regions * call.pixels.count;
    call.threads = threads_for(elements, threads);

    nb::gil_scoped_release unlocked;
    // pieces depend on the shape alone: large enough that their sums are few beside the numbers that are summed
    const std::int64_t least = std::max(16384 / classes, call.samples * call.pixels.count / 512);
    call.piece = (std::max<std::int64_t>(least, 1) + TILE - 1) / TILE * TILE;
    call.pieces = (call.pixels.count + call.piece - 1) / call.piece;
    const std::size_t count = static_cast<std::size_t>(call.samples * call.pieces), all = static_cast<std::size_t>(regions);
    std::vector<RegionSums> sums(count * static_cast<std::size_t>(classes));
    std::unique_ptr<bool[]> outside(new bool[count]());
    std::vector<unsigned char> live(all, 1);
    for (std::int64_t n = 0, r = 0; n < call.samples; ++n)
        for (std::int64_t c = 0; c < classes; ++c, ++r)
            if ((c == 0 && !background) || (counts && counts->at(n, c) == 0)) live[static_cast<std::size_t>(r)] = 0;
    call.sums = sums.data(), call.outside = outside.get(), call.live = live.data();
    call.width = std::clamp<std::int64_t>(65536 / classes / 8 * 8, 8, TILE);
    call.scratch_bytes = room_of(call) * static_cast<std::int64_t>(wide ? sizeof(double) : sizeof(float));
    std::unique_ptr<char[]> scratch(new char[static_cast<std::size_t>(call.scratch_bytes * call.threads)]);
    call.scratch = scratch.get();
    const OverlapKernels& kernels = chosen_overlap_kernels();
    kernels.measure(call);
    if (std::any_of(outside.get(), outside.get() + count, [](const bool any) { return any; })) return OUTSIDE;

    std::vector<RegionSlopes> slopes(all);
    double total = 0, share = 0;
    for (std::int64_t n = 0, r = 0; n < call.samples; ++n) {
        for (std::int64_t c = 0; c < classes; ++c, ++r) {
            RegionSums whole;
            for (std::int64_t piece = 0; piece < call.pieces; ++piece) {
                const RegionSums& part = sums[static_cast<std::size_t>((n * call.pieces + piece) * classes + c)];
                whole.common += part.common, whole.predicted += part.predicted, whole.wanted += part.wanted;
                whole.pixels += part.pixels;
            }
            RegionSlopes& slope = slopes[static_cast<std::size_t>(r)];
            double factor = 1, loss = 0;
            if (whole.pixels > 0) {  // what is not live has none
                for (const PerRegion& weight : weights) factor *= weight.at(n, c);
                const double weight = of_class ? of_class->at(0, c) : 1;
                share += counting == CLASS_WEIGHTS ? factor * weight : factor;
                factor *= weight;
                loss = factor * index.loss(whole, slope);
                slope = {slope.common * factor, slope.predicted * factor, slope.wanted * factor};
            }
            total += loss;
            if (reduced) continue;
            const float rounded = static_cast<float>(loss);
            char* const to = static_cast<char*>(result.data) + r * (result.dtype.bits / 8);
            wide ? store<double>(&loss, to, dtype_of(result), 1, 1) : store<float>(&rounded, to, dtype_of(result), 1, 1);
        }
    }
    if (counting != NUMBER) divisor *= share;
    if (reduced) {
        if (divisor == 0) return EMPTY;
        scale /= divisor;
        const double quotient = total / divisor;
        const float rounded = static_cast<float>(quotient);
        char* const to = static_cast<char*>(result.data);
        wide ? store<double>(&quotient, to, dtype_of(result), 1, 1) : store<float>(&rounded, to, dtype_of(result), 1, 1);
    }
    if (!call.gradient.pixels.data && !call.target_gradient.pixels.data) return DONE;
    for (RegionSlopes& slope : slopes) slope = {slope.common * scale, slope.predicted * scale, slope.wanted * scale};
    call.slopes = slopes.data();
    kernels.differentiate(call);
    return DONE;
}

}  // namespace

void bind_overlap(nb::module_& module) {
    module.def("overlap", &overlap, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
               nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg().none(), nb::arg(),
               nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg());
}

}  // namespace lossmith
