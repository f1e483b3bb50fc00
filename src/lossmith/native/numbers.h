// Numbers as memory holds them: any dtype read as float or double, any floating dtype written, each rounded once.
// The only header with intrinsics: half precision has instructions of its own, which compilers do not find by themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "tensor.h"

#ifndef LOSSMITH_ISA
#define LOSSMITH_ISA portable
#endif

namespace lossmith {
inline namespace LOSSMITH_ISA {

struct Half {
    std::uint16_t bits;
};
struct Brain {
    std::uint16_t bits;
};

inline std::size_t size_of(const Dtype dtype) {
    switch (dtype) {
        case Dtype::f64: case Dtype::i64: case Dtype::u64: return 8;
        case Dtype::f32: case Dtype::i32: case Dtype::u32: return 4;
        case Dtype::f16: case Dtype::bf16: case Dtype::i16: case Dtype::u16: return 2;
        default: return 1;
    }
}

// ----- one number -----

template <typename T, typename S>
[[gnu::always_inline]] inline T widen(const S x) {
    return static_cast<T>(x);
}

template <>
[[gnu::always_inline]] inline float widen<float, Brain>(const Brain x) {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(x.bits) << 16);
}

template <>
[[gnu::always_inline]] inline float widen<float, Half>(const Half x) {
    const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
    const std::uint32_t rest = static_cast<std::uint32_t>(x.bits & 0x7fffu) << 13;
    // the exponent's bias differs by 112: multiplied in, so that subnormal numbers are normalised on the way
    const float scaled = __builtin_bit_cast(float, rest) * 0x1p112f;
    const std::uint32_t special = rest >= 0x0f800000u ? 0x7f800000u | rest : __builtin_bit_cast(std::uint32_t, scaled);
    return __builtin_bit_cast(float, sign | special);
}

template <>
[[gnu::always_inline]] inline double widen<double, Brain>(const Brain x) {
    return widen<float>(x);
}

template <>
[[gnu::always_inline]] inline double widen<double, Half>(const Half x) {
    return widen<float>(x);
}

template <typename S, typename T>
[[gnu::always_inline]] inline S narrow(const T x) {
    return static_cast<S>(x);
}

template <>
[[gnu::always_inline]] inline Brain narrow<Brain, float>(const float x) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to the nearest, ties to even
    return {static_cast<std::uint16_t>(x != x ? 0x7fc0u : rounded)};
}

template <>
[[gnu::always_inline]] inline Half narrow<Half, float>(const float x) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x), sign = (bits >> 16) & 0x8000u;
    const std::uint32_t size = bits & 0x7fffffffu;
    // below 2^-14 the sum with 0.5 rounds to a multiple of 2^-24, the step of subnormal halves
    const float sum = __builtin_bit_cast(float, size) + 0.5f;
    const std::uint32_t small = __builtin_bit_cast(std::uint32_t, sum) - 0x3f000000u;
    const std::uint32_t normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
    const std::uint32_t finite = size < 0x38800000u ? small : normal;
    const std::uint32_t result = size >= 0x477ff000u ? (size > 0x7f800000u ? 0x7e00u : 0x7c00u) : finite;
    return {static_cast<std::uint16_t>(sign | result)};
}

template <>
[[gnu::always_inline]] inline Brain narrow<Brain, double>(const double x) {
    return narrow<Brain>(static_cast<float>(x));
}

template <>
[[gnu::always_inline]] inline Half narrow<Half, double>(const double x) {
    return narrow<Half>(static_cast<float>(x));
}

// ----- many numbers -----

template <typename T, typename S>
inline void read(const char* const from, const std::int64_t stride, const std::size_t n, T* const to) {
    const S* const source = reinterpret_cast<const S*>(from);
    if (stride == 1) {
        for (std::size_t i = 0; i < n; ++i) to[i] = widen<T>(source[i]);
    } else if (stride == 0) {
        const T x = widen<T>(source[0]);
        for (std::size_t i = 0; i < n; ++i) to[i] = x;
    } else {
        for (std::size_t i = 0; i < n; ++i) to[i] = widen<T>(source[static_cast<std::int64_t>(i) * stride]);
    }
}

template <typename T, typename S>
inline void write(const T* const from, char* const to, const std::int64_t stride, const std::size_t n) {
    S* const place = reinterpret_cast<S*>(to);
    if (stride == 1) {
        for (std::size_t i = 0; i < n; ++i) place[i] = narrow<S>(from[i]);
    } else {
        for (std::size_t i = 0; i < n; ++i) place[static_cast<std::int64_t>(i) * stride] = narrow<S>(from[i]);
    }
}

#if defined(__AVX512F__)
template <>
inline void read<float, Half>(const char* const from, const std::int64_t stride, const std::size_t n, float* const to) {
    const Half* const source = reinterpret_cast<const Half*>(from);
    std::size_t i = 0;
    if (stride == 1)
        for (; i + 16 <= n; i += 16)
            _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i))));
    for (; i < n; ++i) to[i] = widen<float>(source[static_cast<std::int64_t>(i) * stride]);
}

template <>
inline void write<float, Half>(const float* const from, char* const to, const std::int64_t stride, const std::size_t n) {
    Half* const place = reinterpret_cast<Half*>(to);
    std::size_t i = 0;
    if (stride == 1)
        for (; i + 16 <= n; i += 16)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(place + i),
                                _mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; ++i) place[static_cast<std::int64_t>(i) * stride] = narrow<Half>(from[i]);
}
#elif defined(__F16C__)
template <>
inline void read<float, Half>(const char* const from, const std::int64_t stride, const std::size_t n, float* const to) {
    const Half* const source = reinterpret_cast<const Half*>(from);
    std::size_t i = 0;
    if (stride == 1)
        for (; i + 8 <= n; i += 8)
            _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i))));
    for (; i < n; ++i) to[i] = widen<float>(source[static_cast<std::int64_t>(i) * stride]);
}

template <>
inline void write<float, Half>(const float* const from, char* const to, const std::int64_t stride, const std::size_t n) {
    Half* const place = reinterpret_cast<Half*>(to);
    std::size_t i = 0;
    if (stride == 1)
        for (; i + 8 <= n; i += 8)
            _mm_storeu_si128(reinterpret_cast<__m128i*>(place + i),
                             _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; ++i) place[static_cast<std::int64_t>(i) * stride] = narrow<Half>(from[i]);
}
#endif

template <typename T>
inline void load(const char* const from, const Dtype dtype, const std::int64_t stride, const std::size_t n, T* const to) {
    switch (dtype) {
        case Dtype::f32: return read<T, float>(from, stride, n, to);
        case Dtype::f64: return read<T, double>(from, stride, n, to);
        case Dtype::f16: return read<T, Half>(from, stride, n, to);
        case Dtype::bf16: return read<T, Brain>(from, stride, n, to);
        case Dtype::i8: return read<T, std::int8_t>(from, stride, n, to);
        case Dtype::i16: return read<T, std::int16_t>(from, stride, n, to);
        case Dtype::i32: return read<T, std::int32_t>(from, stride, n, to);
        case Dtype::i64: return read<T, std::int64_t>(from, stride, n, to);
        case Dtype::u8: return read<T, std::uint8_t>(from, stride, n, to);
        case Dtype::u16: return read<T, std::uint16_t>(from, stride, n, to);
        case Dtype::u32: return read<T, std::uint32_t>(from, stride, n, to);
        case Dtype::u64: return read<T, std::uint64_t>(from, stride, n, to);
        case Dtype::boolean: return read<T, std::uint8_t>(from, stride, n, to);  // torch keeps 0 and 1
        case Dtype::other: return;
    }
}

template <typename T>
inline void store(const T* const from, char* const to, const Dtype dtype, const std::int64_t stride, const std::size_t n) {
    switch (dtype) {
        case Dtype::f32: return write<T, float>(from, to, stride, n);
        case Dtype::f64: return write<T, double>(from, to, stride, n);
        case Dtype::f16: return write<T, Half>(from, to, stride, n);
        case Dtype::bf16: return write<T, Brain>(from, to, stride, n);
        default: return;
    }
}

template <typename T>
inline T load_one(const char* const data, const Dtype dtype, const std::int64_t index = 0) {
    T x = T(0);
    load<T>(data + index * static_cast<std::int64_t>(size_of(dtype)), dtype, 1, 1, &x);
    return x;
}

// An integer of any width, as an index.
inline std::int64_t index_at(const char* const data, const Dtype dtype, const std::int64_t i) {
    switch (dtype) {
        case Dtype::i64: case Dtype::u64: return reinterpret_cast<const std::int64_t*>(data)[i];
        case Dtype::i32: return reinterpret_cast<const std::int32_t*>(data)[i];
        case Dtype::u32: return reinterpret_cast<const std::uint32_t*>(data)[i];
        case Dtype::i16: return reinterpret_cast<const std::int16_t*>(data)[i];
        case Dtype::u16: return reinterpret_cast<const std::uint16_t*>(data)[i];
        case Dtype::i8: return reinterpret_cast<const std::int8_t*>(data)[i];
        default: return reinterpret_cast<const std::uint8_t*>(data)[i];
    }
}

// ----- sums: in double, in the same order whatever the instruction set -----

// The sum of term(i) for i from 0 to n - 1.
template <typename Term>
[[gnu::always_inline]] inline double sum_of(const std::size_t n, const Term& term) {
    constexpr std::size_t LANES = 32;
    double lane[LANES] = {};
    std::size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (std::size_t j = 0; j < LANES; ++j) lane[j] += static_cast<double>(term(i + j));
    for (std::size_t j = 0; j < n % LANES; ++j) lane[j] += static_cast<double>(term(i + j));
    for (std::size_t width = LANES / 2; width > 0; width /= 2)
        for (std::size_t j = 0; j < width; ++j) lane[j] += lane[j + width];
    return lane[0];
}

// The sums of both parts of term(i).
template <typename Term>
[[gnu::always_inline]] inline std::pair<double, double> sums_of(const std::size_t n, const Term& term) {
    constexpr std::size_t LANES = 32;
    double first[LANES] = {}, second[LANES] = {};
    const auto add = [&](const std::size_t i, const std::size_t j) {
        const auto [a, b] = term(i + j);
        first[j] += static_cast<double>(a), second[j] += static_cast<double>(b);
    };
    std::size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (std::size_t j = 0; j < LANES; ++j) add(i, j);
    for (std::size_t j = 0; j < n % LANES; ++j) add(i, j);
    for (std::size_t width = LANES / 2; width > 0; width /= 2)
        for (std::size_t j = 0; j < width; ++j) first[j] += first[j + width], second[j] += second[j + width];
    return {first[0], second[0]};
}

template <typename T>
inline double sum(const T* const x, const std::size_t n) {
    return sum_of(n, [x](const std::size_t i) { return x[i]; });
}

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
