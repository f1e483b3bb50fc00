// The call of CTC's kernel: plain data, filled by binding.cpp, run by kernel.cpp of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

// The dimensions of scores and of their gradient, as places in `stride`.
enum : int { FRAME, SAMPLE, CLASS };

struct LatticeCall {
    Strided scores;  // log-probabilities, or any scores if `logits`; f32, f64, f16 or bf16
    bool logits = false;
    std::int64_t frames = 0, samples = 0, classes = 0, blank = 0;
    // Of each sample: its labels begin at labels[label_begin[n]], padded or concatenated. What counts has been checked.
    const std::int64_t *labels = nullptr, *label_begin = nullptr, *target_lengths = nullptr, *input_lengths = nullptr;
    const bool* used = nullptr;  // none: all; of a sample that is not used nothing else is looked at
    double* losses = nullptr;    // unreduced: inf where there is no alignment, 0 where a sample is not used
    Strided gradient;            // if it is wanted; written everywhere, 0 where a frame or a sample does not count
    const double* factors = nullptr;  // multiply the gradient of each sample; only with a gradient
    char* scratch = nullptr;          // `threads` times as many bytes as the table's `scratch` gives
    int threads = 1;
};

struct LatticeKernels {
    // The loss of every sample and its gradient.
    void (*run)(const LatticeCall&);
    // The bytes that each thread needs: they grow with the frames and the labels of one sample, and with the classes.
    std::size_t (*scratch)(const LatticeCall&);
};

}  // namespace lossmith
