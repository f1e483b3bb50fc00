// The call of the pairwise kernels: plain data, filled by the caller, run by kernel.cpp of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

enum class PairwiseLoss : std::int32_t { cosine_embedding, contrastive, triplet_margin };

// The sum of the loss over a piece, and whether a target in it is none of those that the loss knows.
struct PairwisePartial {
    double sum = 0;
    bool outside = false;
};

struct PairwiseCall {
    // Vectors, one a row; strides in elements. Without data they are absent.
    struct Vectors {
        char* data = nullptr;
        Dtype dtype = Dtype::other;
        std::int64_t row_stride = 0;    // 0 where one vector is every row's
        std::int64_t inner_stride = 1;  // 0 where one number is the whole vector
    };
    // Numbers, one a row.
    struct Numbers {
        char* data = nullptr;
        Dtype dtype = Dtype::other;
        std::int64_t stride = 0;
    };

    PairwiseLoss loss = PairwiseLoss::cosine_embedding;
    bool wide = false;  // vectors are float64 when they are compared, else float32
    bool normalize = false;  // vectors are scaled to the length of 1 before; those are wide
    std::int64_t rows = 0, width = 0;
    Vectors operands[3];   // two vectors for a pair; anchor, positive, negative for a triplet
    Vectors gradients[3];  // those that are wanted; rows of their own, in the operand's dtype
    Numbers target;        // of a cosine: 1, -1 or anything else; of a contrastive pair one of two numbers:
    double similar = 1, dissimilar = -1;
    double margin = 0, positive_margin = 0;
    double p = 2, eps = 0;  // of distances
    bool squared = false;   // a triplet's distances, or what a contrastive pair lacks
    bool swap = false;
    int factors = 0;
    Numbers factor[3];  // multiply the loss and its gradients
    Numbers mask;       // bool; where it is False loss and gradients are 0, and nothing else of the row is read
    double scale = 1;   // multiplies the gradients
    Numbers values;     // the unreduced loss, if it is wanted
    PairwisePartial* partials = nullptr;  // of each piece
    char* scratch = nullptr;              // pairwise_scratch() bytes for each thread, aligned to 64
    int threads = 1;
};

// The functions here are inlined always: a copy of its own would be one that instruction sets share.

// The rows of which each piece is one thread's, and whose sums are added in their order.
[[gnu::always_inline]] inline std::int64_t pairwise_rows(const PairwiseCall& call) {
    constexpr std::int64_t PIECE = 16384;  // elements
    return call.width <= 1 ? PIECE : call.width < PIECE ? PIECE / call.width : 1;
}

[[gnu::always_inline]] inline std::int64_t pairwise_pieces(const PairwiseCall& call) {
    return (call.rows + pairwise_rows(call) - 1) / pairwise_rows(call);
}

// Whether a kernel uses these vectors where they lie, without a copy in its own dtype.
[[gnu::always_inline]] inline bool pairwise_in_place(const PairwiseCall& call, const PairwiseCall::Vectors& vectors) {
    return !vectors.data || (vectors.dtype == (call.wide ? Dtype::f64 : Dtype::f32) && vectors.inner_stride == 1);
}

// Bytes of one vector in the scratch.
[[gnu::always_inline]] inline std::size_t pairwise_slot(const PairwiseCall& call) {
    return (static_cast<std::size_t>(call.width) * sizeof(double) + 63) / 64 * 64;
}

// Slots before those of directions: one for each operand and one for a gradient, if any is copied.
[[gnu::always_inline]] inline std::size_t pairwise_copies(const PairwiseCall& call) {
    bool in_place = !call.normalize;
    for (int k = 0; k < 3; ++k)
        in_place = in_place && pairwise_in_place(call, call.operands[k]) && pairwise_in_place(call, call.gradients[k]);
    return in_place ? 0 : 4;
}

// Bytes of scratch for each thread.
[[gnu::always_inline]] inline std::size_t pairwise_scratch(const PairwiseCall& call) {
    const bool powers = call.loss != PairwiseLoss::cosine_embedding && call.p != 1 && call.p != 2 &&
                        call.p <= 0x1.fffffffffffffp1023;
    return (pairwise_copies(call) + (powers ? 3 : 0)) * pairwise_slot(call);
}

struct PairwiseKernels {
    // The loss of every row, its sums and its gradients.
    void (*run)(const PairwiseCall&);
};

}  // namespace lossmith
