// The call of the transport kernel: plain data, filled by the caller, run by kernel.cpp of one instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

struct TransportCall {
    // Numbers of the points of a distribution, one distribution a row; strides in elements. Without data they are absent.
    struct Rows {
        char* data = nullptr;
        Dtype dtype = Dtype::other;
        std::int64_t row_stride = 0;    // 0 where one row is every row's
        std::int64_t inner_stride = 1;  // 0 where one number is the whole row
    };
    // Numbers, one a row.
    struct Numbers {
        char* data = nullptr;
        Dtype dtype = Dtype::other;
        std::int64_t stride = 0;
    };
    // Of each pair of distributions one.
    struct Side {
        std::int64_t size = 0;  // points of a distribution, 1 to 2^31
        Rows points;
        Rows weights;          // without data all points weigh the same
        Rows gradient;         // those that are wanted; rows of their own, in the dtype of points and of weights
        Rows weight_gradient;  // none without weights
    };

    bool wide = false;  // points are float64 when they are compared, else float32
    std::int64_t rows = 0;
    double p = 1;
    Side sides[2];
    int factors = 0;
    Numbers factor[3];  // multiply the loss and its gradients
    Numbers mask;       // bool; where it is False loss and gradients are 0, and nothing else of the row is read
    double scale = 1;   // multiplies the gradients
    Numbers values;     // the unreduced loss, if it is wanted
    double* partials = nullptr;  // the sum of the loss over each piece
    bool* outside = nullptr;     // of each piece: whether weights are negative, not finite, or sum to 0
    char* scratch = nullptr;     // transport_scratch() bytes for each thread, aligned to 64
    int threads = 1;
};

// The functions here are inlined always: a copy of its own would be one that instruction sets share.

// The rows of which each piece is one thread's, and whose sums are added in their order.
[[gnu::always_inline]] inline std::int64_t transport_rows(const TransportCall& call) {
    constexpr std::int64_t PIECE = 8192;  // points
    const std::int64_t points = call.sides[0].size + call.sides[1].size;
    return points < PIECE ? PIECE / points : 1;
}

[[gnu::always_inline]] inline std::int64_t transport_pieces(const TransportCall& call) {
    return (call.rows + transport_rows(call) - 1) / transport_rows(call);
}

// Bytes of `count` numbers in the scratch.
[[gnu::always_inline]] inline std::size_t transport_slot(const std::int64_t count, const std::size_t bytes) {
    return (static_cast<std::size_t>(count) * bytes + 63) / 64 * 64;
}

// What a side has in the scratch, one after the other: its points in order, twice, since they are sorted from one place
// to another; and three rows of numbers.
[[gnu::always_inline]] inline std::size_t transport_side(const TransportCall& call, const int side) {
    const std::int64_t size = call.sides[side].size;
    return 2 * transport_slot(size, call.wide ? 16 : 8) + 3 * transport_slot(size, sizeof(double));
}

// Bytes of scratch for each thread.
[[gnu::always_inline]] inline std::size_t transport_scratch(const TransportCall& call) {
    return transport_side(call, 0) + transport_side(call, 1);
}

struct TransportKernels {
    // The loss of every row, its sums and its gradients.
    void (*run)(const TransportCall&);
};

}  // namespace lossmith
