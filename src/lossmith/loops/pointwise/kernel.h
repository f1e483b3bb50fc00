// The call of the pointwise kernel: plain data, filled by native/module.cpp, run by kernel.cpp of one instruction set.
#pragma once

#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

inline constexpr int MAX_OPERANDS = 4;
inline constexpr int MAX_PARAMETERS = 4;
inline constexpr int MAX_FACTORS = 3;

// What a piece of the work adds to the result.
struct Partial {
    double total = 0;
    bool outside = false;
};

struct PointwiseCall {
    int formula = -1;
    bool wide = false;  // computed in double, else in float
    Shape shape;
    int operands = 0;
    Strided operand[MAX_OPERANDS];
    double number[MAX_OPERANDS] = {};  // of an operand without data
    double parameter[MAX_PARAMETERS] = {};
    // an operand that is looked at must lie in this interval; NaN does if `nan_is_inside`
    bool bounded[MAX_OPERANDS] = {};
    bool nan_is_inside[MAX_OPERANDS] = {};
    double low[MAX_OPERANDS] = {}, high[MAX_OPERANDS] = {};
    int factors = 0;
    Strided factor[MAX_FACTORS];  // multiply the loss and its gradients
    Strided mask;                 // bool; what is False there is 0, whatever the operands hold
    double scale = 1;             // multiplies the gradients
    Strided value;                // the unreduced loss, if it is wanted
    Strided gradient[MAX_OPERANDS];
    Partial* partials = nullptr;  // one for each piece
    int threads = 1;
};

// The pieces of which each is one thread's, and whose sums are added in their order.
inline constexpr std::int64_t PIECE = 16384;

static inline std::int64_t pieces_of(const std::int64_t count) {
    return (count + PIECE - 1) / PIECE;
}

// Numbers in the contiguous shape (outer, terms, inner), to be summed over the terms.
struct SumCall {
    std::int64_t outer = 1, terms = 1, inner = 1;
    const void* from = nullptr;
    bool wide = false;         // double, else float
    double* sums = nullptr;    // (outer, chunks, inner), of which the chunks remain to be summed
    std::int64_t chunks = 1;
    int threads = 1;
};

// Terms that are summed in one go.
static inline std::int64_t terms_of_chunk(const SumCall& call) {
    const std::int64_t terms = PIECE / (call.inner > 0 ? call.inner : 1);
    return terms < 32 ? 32 : terms;
}

struct PointwiseKernels {
    // The loss of every element, its sum and its gradients.
    void (*run)(const PointwiseCall&);
    // The sum of the products of the factors where the mask is True, as if they were the loss.
    void (*weigh)(const PointwiseCall&);
    // The first gradient times the scale, where it lies.
    void (*rescale)(const PointwiseCall&);
    // The sums of each chunk of terms.
    void (*sum)(const SumCall&);
};

}  // namespace lossmith
