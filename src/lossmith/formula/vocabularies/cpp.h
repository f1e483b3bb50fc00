// The words of the formula language for float and double. Compile without -ffast-math: NaN and infinity have meaning.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

namespace lossmith {

template <typename T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();

template <typename T>
inline T where(const bool condition, const T x, const T y) {
    return condition ? x : y;
}

template <typename T>
inline T abs(const T x) {
    return std::abs(x);
}

template <typename T>
inline T sign(const T x) {
    return T(T(0) < x) - T(x < T(0));
}

template <typename T>
inline T step(const T x) {
    return T(x >= T(0));
}

template <typename T>
inline T sqrt(const T x) {
    return std::sqrt(x);
}

template <typename T>
inline T exp(const T x) {
    return std::exp(x);
}

template <typename T>
inline T expm1(const T x) {
    return std::expm1(x);
}

template <typename T>
inline T log(const T x) {
    return std::log(x);
}

template <typename T>
inline T log1p(const T x) {
    return std::log1p(x);
}

template <typename T>
inline T lgamma(const T x) {
    return std::lgamma(x);
}

// A comparison with NaN is false: x is returned where it is NaN, and y where that is NaN.
template <typename T>
inline T minimum(const T x, const T y) {
    return x < y || x != x ? x : y;
}

template <typename T>
inline T maximum(const T x, const T y) {
    return x > y || x != x ? x : y;
}

template <typename T>
inline T hinge(const T x) {
    return maximum(x, T(0));
}

template <typename T>
inline T relu(const T x) {
    return maximum(x, T(0));
}

template <typename T>
inline T floor_at(const T x, const T low) {
    return maximum(x, low);
}

template <typename T>
inline T sigmoid(const T x) {
    const T small = exp(-abs(x));
    return (x >= T(0) ? T(1) : small) / (T(1) + small);
}

template <typename T>
inline T softplus(const T x) {
    return maximum(x, T(0)) + log1p(exp(-abs(x)));
}

template <typename T>
inline T product(const T x, const T y) {
    return x == T(0) && abs(y) == infinity<T> ? T(0) : x * y;
}

template <typename T>
inline T xlogy(const T x, const T y) {
    return x == T(0) && (y <= T(0) || y == infinity<T>) ? T(0) : x * log(y);
}

template <typename T>
inline T log_probability(const T p) {
    return maximum(log(p), T(-100));
}

template <typename T>
inline T log_complement(const T p) {
    return maximum(log1p(-p), T(-100));
}

// The value at s of a polynomial, its highest coefficient first.
template <typename T, std::size_t N>
inline T polynomial(const std::array<double, N>& coefficients, const T s) {
    T sum = T(coefficients[0]);
    for (std::size_t i = 1; i < N; ++i) sum = sum * s + T(coefficients[i]);
    return sum;
}

// digamma(x) / (x - root) for x from 1 to 2, in x - 1.5; a Chebyshev fit made at 50 digits, to 2e-17.
inline constexpr std::array<double, 22> digamma_over_lead = {
    -0.00017312261802727394, 0.00025968482126430747, -0.00015148586836773365, 0.0002272331660987376,
    -0.0004821990530566789,  0.0007233266279287554,  -0.0010376374098418604,  0.0015566317474486838,
    -0.002345267632540769,   0.003519006401502276,   -0.005279964873257405,   0.007926944646403797,
    -0.011908218001568644,   0.0179072524394512,     -0.02697579675613825,    0.04076083381242074,
    -0.061922133273064534,   0.09498872445494122,    -0.14840492305390884,    0.2405424842407742,
    -0.4236274212814605,     0.951055876031833,
};

// Bernoulli numbers over 2 k, of Stirling's series for the digamma function.
inline constexpr std::array<double, 8> digamma_series = {
    0.08333333333333333, -0.021092796092796094, 0.007575757575757576, -0.004166666666666667,
    0.003968253968253968, -0.008333333333333333, 0.08333333333333333,  0.0,
};

template <typename T>
inline T digamma_of_positive(const T x) {
    if (x >= T(10)) {
        const T inverse = T(1) / x;
        return log(x) - T(0.5) * inverse - polynomial(digamma_series, inverse * inverse);
    }
    // shifted into 1 to 2, where the root is taken out, so that the relative accuracy holds beside it
    T base = x < T(1) ? x + T(1) : x;
    T shift = x < T(1) ? T(-1) / x : T(0);
    while (base > T(2)) {
        base -= T(1);
        shift += T(1) / base;
    }
    const T lead = (base - T(1.4616320133209229)) - T(1.3164743948970015e-07);
    return lead * polynomial(digamma_over_lead, base - T(1.5)) + shift;
}

template <typename T>
inline T digamma(const T x) {
    if (x >= T(0) || x != x) return digamma_of_positive(x);
    const T y = -x, part = y - std::floor(y);
    if (part == T(0) || y == infinity<T>) return std::numeric_limits<T>::quiet_NaN();
    const T pi = T(3.141592653589793);
    return digamma_of_positive(y) + T(1) / y + pi / std::tan(pi * (part > T(0.5) ? part - T(1) : part));
}

}  // namespace lossmith
