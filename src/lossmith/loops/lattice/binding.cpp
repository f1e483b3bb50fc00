// CTC's kernel for Python. The labels and lengths that it is given have been checked by `sequences.py`.
#include <memory>
#include <vector>

#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(LatticeKernels, lattice_kernels)

namespace lossmith {

namespace {

template <typename T>
const T* vector_of(nb::handle given, const Dtype dtype, const std::int64_t count) {
    const DLTensor view = view_of(given);
    if (dtype_of(view) != dtype || view.ndim != 1 || view.shape[0] != count || (count > 1 && view.strides[0] != 1))
        throw nb::value_error("there must be one number for each sample, side by side");
    return static_cast<const T*>(view.data);
}

// The losses of scores (T, N, C) against labels (N, S), and their gradient times `factors` into `gradient`. Samples of
// no frames and no labels cost 0.
void lattice(nb::handle scores, bool logits, nb::handle labels, nb::handle input_lengths, nb::handle target_lengths,
             std::int64_t blank, nb::handle losses, nb::handle gradient, nb::handle factors, int threads) {
    const DLTensor view = view_of(scores), padded = view_of(labels);
    if (view.ndim != 3 || dtype_of(view) > Dtype::bf16) throw nb::value_error("scores must be (T, N, C)");
    LatticeCall call;
    call.logits = logits;
    call.frames = view.shape[0], call.samples = view.shape[1], call.classes = view.shape[2], call.blank = blank;
    const auto see = [](const DLTensor& tensor, Strided& out) {
        out.data = static_cast<char*>(tensor.data);
        out.dtype = dtype_of(tensor);
        for (int d = 0; d < 3; ++d) out.stride[d] = tensor.strides[d];
    };
    see(view, call.scores);
    if (blank < 0 || blank >= call.classes) throw nb::value_error("blank is no class");
    if (dtype_of(padded) != Dtype::i64 || padded.ndim != 2 || padded.shape[0] != call.samples ||
        (padded.shape[1] > 1 && padded.strides[1] != 1))
        throw nb::value_error("labels must be (N, S), those of a sample side by side");
    call.labels = static_cast<const std::int64_t*>(padded.data);
    call.input_lengths = vector_of<std::int64_t>(input_lengths, Dtype::i64, call.samples);
    call.target_lengths = vector_of<std::int64_t>(target_lengths, Dtype::i64, call.samples);
    call.losses = const_cast<double*>(vector_of<double>(losses, Dtype::f64, call.samples));
    std::vector<std::int64_t> begin(static_cast<std::size_t>(call.samples));
    for (std::int64_t n = 0; n < call.samples; ++n) {
        begin[static_cast<std::size_t>(n)] = n * padded.strides[0];
        const std::int64_t length = call.target_lengths[n];
        if (call.input_lengths[n] < 0 || call.input_lengths[n] > call.frames || length < 0 || length > padded.shape[1])
            throw nb::value_error("a length is out of range");
        for (std::int64_t s = 0; s < length; ++s) {
            const std::int64_t label = call.labels[n * padded.strides[0] + s];
            if (label < 0 || label >= call.classes) throw nb::value_error("a label is out of range");
        }
    }
    call.label_begin = begin.data();
    if (!gradient.is_none()) {
        const DLTensor out = view_of(gradient);
        if (out.ndim != 3 || !std::equal(out.shape, out.shape + 3, view.shape) || dtype_of(out) != dtype_of(view))
            throw nb::value_error("a gradient must be like the scores");
        see(out, call.gradient);
        call.factors = vector_of<double>(factors, Dtype::f64, call.samples);
        advise(out);
    }
    // a sample is a few hundred times the work of its scores alone
    call.threads = threads_for(count_of(view) * 16, threads);

    nb::gil_scoped_release unlocked;
    const LatticeKernels& kernels = chosen_lattice_kernels();
    std::unique_ptr<char[]> scratch(new char[kernels.scratch(call) * static_cast<std::size_t>(call.threads) + 64]);
    call.scratch = scratch.get();
    kernels.run(call);
}

}  // namespace

void bind_lattice(nb::module_& module) {
    module.def("lattice", &lattice, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
               nb::arg().none(), nb::arg().none(), nb::arg());
}

}  // namespace lossmith
