// The rows of a pairwise call as its kernel sees them, and how they are swept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "formulas.h"
#include "kernel.h"
#include "lossmith/native/numbers.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {
namespace {

using Vectors = PairwiseCall::Vectors;
using Numbers = PairwiseCall::Numbers;

// ----- sweeps -----

template <std::size_t COUNT>
struct Totals {
    double of[COUNT];
};

// Several sums of one sweep, in the order of sum() in numbers.h: add(i, to) adds the terms at i to to(0), to(1), ...
template <std::size_t COUNT, typename Add>
[[gnu::always_inline]] inline Totals<COUNT> totals(const std::size_t n, const Add& add) {
    constexpr std::size_t LANES = 16;
    double lane[COUNT][LANES] = {}, rest[COUNT] = {};
    std::size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma GCC unroll 1
#pragma GCC ivdep
        for (std::size_t j = 0; j < LANES; ++j)
            add(i + j, [&](const std::size_t k) -> double& { return lane[k][j]; });
    }
    for (; i < n; ++i) add(i, [&](const std::size_t k) -> double& { return rest[k]; });
    Totals<COUNT> result;
    for (std::size_t k = 0; k < COUNT; ++k) {
#pragma GCC unroll 4
        for (std::size_t width = LANES / 2; width > 0; width /= 2)
#pragma omp simd
            for (std::size_t j = 0; j < width; ++j) lane[k][j] += lane[k][j + width];
        result.of[k] = lane[k][0] + rest[k];
    }
    return result;
}

template <typename Term>
[[gnu::always_inline]] inline double total(const std::size_t n, const Term& term) {
    return totals<1>(n, [&](const std::size_t i, const auto& to) { to(0) += static_cast<double>(term(i)); }).of[0];
}

// The greatest absolute value, NaN if there is one: as integers, numbers are in the same order and NaN is above them.
template <typename T, typename Element>
[[gnu::always_inline]] inline T greatest(const std::size_t n, const Element& element) {
    using Bits = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;
    Bits top = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const Bits bits = __builtin_bit_cast(Bits, element(i)) & std::numeric_limits<Bits>::max();
        top = bits > top ? bits : top;
    }
    return __builtin_bit_cast(T, top);
}

// A power of two near 1 / top, to scale by without rounding; it and its inverse are normal numbers.
inline double inverse_near(const double top) {
    const std::uint64_t exponent = __builtin_bit_cast(std::uint64_t, top) >> 52;
    return __builtin_bit_cast(double, (2046 - (exponent < 1 ? 1 : exponent > 2045 ? 2045 : exponent)) << 52);
}

// Calls write(numbers...) with numbers of type T where that has them to its full precision, else with doubles. Those
// would do for all, but converting every element of a row takes longer than the arithmetic.
template <typename T, typename Write, typename... N>
[[gnu::always_inline]] inline void in_type_of(const Write& write, const N... numbers) {
    using Limits = std::numeric_limits<T>;
    const auto fits = [](const double x) {
        return x == 0 || (abs(x) >= Limits::min() && abs(x) <= Limits::max());
    };
    if constexpr (sizeof(T) == 4)
        if ((fits(numbers) && ...)) return write(static_cast<T>(numbers)...);
    write(numbers...);
}

// ----- rows -----

template <typename T>
inline T number(const Numbers& numbers, const std::int64_t row) {
    return load_one<T>(numbers.data, numbers.dtype, row * numbers.stride);
}

// The rows of a call as its kernel sees them, and the scratch of a thread.
template <typename T>
class Rows {
   public:
    Rows(const PairwiseCall& call, const int thread)
        : call(call),
          width(static_cast<std::size_t>(call.width)),
          scratch(call.scratch + static_cast<std::size_t>(thread) * pairwise_scratch(call)) {}

    // The vector of operand k, scaled to the length of 1 where that is asked for.
    const T* operand(const int k, const std::int64_t row) {
        const Vectors& from = call.operands[k];
        char* const place = at(from, row);
        if (!call.normalize && pairwise_in_place(call, from)) return reinterpret_cast<const T*>(place);
        load(place, from.dtype, from.inner_stride, width, copy(k));
        if (call.normalize) normalize(k);
        return copy(k);
    }

    // Writes element(i), the gradient of what operand(k, row) gave, to the gradient of operand k, if it is wanted.
    template <typename Element>
    [[gnu::always_inline]] void gradient(const int k, const std::int64_t row, const Element& element) const {
        if (!call.gradients[k].data) return;
        if constexpr (sizeof(T) == 8) {
            if (call.normalize) {
                const T* const unit = copy(k);
                const double scale = scales[k], inverse = inverses[k];
                // only what lies across the vector turns it
                const double along = total(width, [&](const std::size_t i) { return element(i) * unit[i]; });
                return write(k, row, [&](const std::size_t i) {
                    return (element(i) - along * unit[i]) * inverse * scale;
                });
            }
        }
        write(k, row, element);
    }

    // Gradients of 0, for a row that nobody looks at.
    void blank(const std::int64_t row) const {
        for (int k = 0; k < 3; ++k)
            if (call.gradients[k].data) write(k, row, [](std::size_t) { return 0.0; });
    }

    double* direction(const std::size_t pair) const {
        return reinterpret_cast<double*>(scratch + (pairwise_copies(call) + pair) * pairwise_slot(call));
    }

    const PairwiseCall& call;
    const std::size_t width;
    bool outside = false;  // a target is none of those that the loss knows

   private:
    static char* at(const Vectors& vectors, const std::int64_t row) {
        return vectors.data + row * vectors.row_stride * static_cast<std::int64_t>(size_of(vectors.dtype));
    }
    T* copy(const int slot) const {
        return reinterpret_cast<T*>(scratch + static_cast<std::size_t>(slot) * pairwise_slot(call));
    }

    template <typename Element>
    [[gnu::always_inline]] void write(const int k, const std::int64_t row, const Element& element) const {
        const Vectors& to = call.gradients[k];
        char* const place = at(to, row);
        const bool in_place = pairwise_in_place(call, to);
        T* const result = in_place ? reinterpret_cast<T*>(place) : copy(3);
        const std::size_t n = width;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) result[i] = static_cast<T>(element(i));
        if (!in_place) store(result, place, to.dtype, to.inner_stride, n);
    }

    // Scales the copy of operand k to the length of 1; a vector of 0 has none, and keeps a gradient of 0.
    void normalize(const int k) {
        T* const x = copy(k);
        const std::size_t n = width;
        double scale = 1;
        const auto squares = [&] {
            return total(n, [&](const std::size_t i) {
                const double scaled = static_cast<double>(x[i]) * scale;
                return scaled * scaled;
            });
        };
        double square = squares();
        if (!(square > 0x1p-900 && square < 0x1p1000)) {
            scale = inverse_near(static_cast<double>(greatest<T>(n, [&](const std::size_t i) { return x[i]; })));
            square = squares();
        }
        const double inverse = square == 0 ? 0 : 1 / sqrt(square);
        for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>(static_cast<double>(x[i]) * scale * inverse);
        scales[k] = scale, inverses[k] = inverse;
    }

    char* const scratch;
    double scales[3], inverses[3];  // what the operands were multiplied by to be of length 1, in two steps
};

}  // namespace
}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
