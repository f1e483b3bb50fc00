// The call of the kernels of mined triplets: plain data, filled by the caller, run by kernel.cpp of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

enum class Miner : std::int32_t { batch_all, batch_hard, semi_hard, distance_weighted };

struct TripletsCall {
    // What is known of the triplets of an anchor: their sums, in the caller's unit.
    struct Account {
        double triplets = 0, active = 0, positive = 0, negative = 0;
    };

    // ----- what is mined -----
    Miner miner = Miner::batch_all;
    bool every_pair = false;  // of semi-hard: a pair without such a negative has another one
    bool soft = false;        // ln(1 + exp(d(a, p) - d(a, n))) instead of a margin
    bool squared = false, normalize = false;
    bool wide = false;  // vectors are float64 when they are compared, else float32
    double margin = 0;
    double cutoff = 0, nonzero_loss_cutoff = 0;  // of distance-weighted
    std::uint64_t seed = 0;

    // ----- the samples: only those that count -----
    std::int64_t rows = 0, width = 0;
    const char* vectors = nullptr;
    Dtype dtype = Dtype::other;
    std::int64_t row_stride = 0, inner_stride = 1;
    const std::int64_t* place = nullptr;    // a sample's row in the caller's tensors
    const std::int32_t* members = nullptr;  // the samples, class by class, in their order
    const std::int64_t* first = nullptr;    // where a sample's class begins among them
    const std::int32_t* count = nullptr;    // how many samples its class has
    std::int64_t largest = 0;               // how many the largest class has
    const double* factor = nullptr;         // multiplies an anchor's loss and gradients; absent: 1

    // ----- results -----
    double* loss = nullptr;      // of each sample as an anchor, without its factor
    Account* account = nullptr;  // of each sample as an anchor
    std::int64_t* chosen = nullptr;      // anchors, positives and negatives (-1: none), if they are wanted
    const std::int64_t* slot = nullptr;  // where those of an anchor begin
    std::int64_t slots = 0;
    double* gradient = nullptr;  // (rows, width), of the sum of the losses
    int threads = 1;
};

struct TripletsKernels {
    void (*run)(const TripletsCall&);
};

}  // namespace lossmith
