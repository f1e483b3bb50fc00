// The call of the overlap kernels: plain data, filled by binding.cpp, run by kernel.cpp of one instruction set.
#pragma once

#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

enum class Activation : int { none, sigmoid, softmax };

// Pixels that are computed together: a tile, of one run along the last dimension, and not wider than this.
inline constexpr std::int64_t TILE = 256;

// What is summed over the pixels of a region: p t, p and t (the squares of the last two, if that is asked for).
struct RegionSums {
    double common = 0, predicted = 0, wanted = 0;
    std::int64_t pixels = 0;  // that are not left out
};

// The derivatives of the result in the sums of a region.
struct RegionSlopes {
    double common = 0, predicted = 0, wanted = 0;
};

struct OverlapCall {
    // A tensor seen over the pixels of a sample: it has strides of its own from sample to sample and from class to class.
    struct Field {
        Strided pixels;
        std::int64_t sample = 0, step = 0;
    };

    Activation activation = Activation::softmax;
    bool wide = false;      // computed in double, else in float
    bool squared = false;   // whether predictions and targets are summed as squares
    bool labelled = false;  // whether the target is a label for each pixel, else a number for each class
    std::int64_t samples = 0, classes = 0;  // which together are the regions; one sample, if the batch is of one piece
    Shape pixels;           // of a sample
    std::int64_t width = TILE;  // of a tile: less where classes are many, so that all of them stay in the cache
    Field input, target;
    Field kept;             // bool; what is False there is left out
    bool ignores = false;
    std::int64_t ignored = 0;
    const unsigned char* live = nullptr;  // for each region, whether it counts: where not, it is never looked at
    std::int64_t piece = TILE, pieces = 0;  // pixels of one thread's piece; pieces of a sample
    RegionSums* sums = nullptr;           // of each piece for each class
    bool* outside = nullptr;              // for each piece, whether a label or a number is out of its domain
    const RegionSlopes* slopes = nullptr;  // of each region
    Field gradient, target_gradient;
    char* scratch = nullptr;              // of one thread after the other
    std::int64_t scratch_bytes = 0;       // of each
    int threads = 1;
};

// Whether the classes of a pixel lie side by side, and not the pixels of a class: then tiles are turned.
static inline bool is_turned(const OverlapCall& call) {
    return call.classes > 1 && call.input.step == 1 && call.input.pixels.stride[call.pixels.dims - 1] != 1;
}

// The numbers that a thread has room for: of predictions, targets and gradients of a class, and of all classes of a tile.
static inline std::int64_t room_of(const OverlapCall& call) {
    const bool all = call.activation == Activation::softmax || is_turned(call);
    return 3 * TILE + (all ? call.classes * call.width : 0);
}

struct OverlapKernels {
    // The sums of each piece.
    void (*measure)(const OverlapCall&);
    // The gradients of what has these slopes.
    void (*differentiate)(const OverlapCall&);
};

}  // namespace lossmith
