// The words of the formula language for float and double, without a branch or a call, so that loops over them are
// vectorised: by GCC with -O3 -fno-math-errno -fno-trapping-math, for any instruction set, contracted (-ffp-contract)
// or not. Compile without -ffast-math: NaN, infinity and the sign of 0 have meaning.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

// A file may be compiled several times, for one instruction set after the other: each under a name of its own, lest the
// linker keep the inline functions of one of them for all.
#ifndef LOSSMITH_ISA
#define LOSSMITH_ISA portable
#endif

namespace lossmith {
inline namespace LOSSMITH_ISA {

template <typename T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();

// A loop with a call in it is not vectorised: so the large ones are inlined wherever they stand.
template <typename T> [[gnu::always_inline]] T abs(T x);
template <typename T> [[gnu::always_inline]] T exp(T x);
template <typename T> [[gnu::always_inline]] T expm1(T x);
template <typename T> [[gnu::always_inline]] T log(T x);
template <typename T> [[gnu::always_inline]] T log1p(T x);
template <typename T> [[gnu::always_inline]] T lgamma(T x);
template <typename T> [[gnu::always_inline]] T digamma(T x);
template <typename T> [[gnu::always_inline]] T sigmoid(T x);
template <typename T> [[gnu::always_inline]] T softplus(T x);
template <typename T> [[gnu::always_inline]] T xlogy(T x, T y);
template <typename T> [[gnu::always_inline]] T log_probability(T p);
template <typename T> [[gnu::always_inline]] T log_complement(T p);

// What the words are made of.
namespace detail {

// What differs by type. A number is a sign, an exponent that is `bias` more than meant, and `mantissa` bits. log(2) and
// the root of the digamma function are sums of two, the first part of log(2) so short that its products with exponents
// are exact.
//
// The polynomials, lowest coefficient first, are least-squares fits at Chebyshev points, made at 50 digits, where each
// coefficient was rounded before the rest was fitted. As they stand they are, of the result that they are for, off by
//                                                                                                       float   double
//   expm1           (expm1(x) - x) / x^2 for |x| < 0.41                                                 2e-9    3e-18
//   log             (log(1 + x) - x + x^2 / 2) / x^3 for 1 + x from sqrt(1/2) to sqrt(2)                7e-9
//                   (atanh(s) / s - 1) * 2 / s^2 in s^2, for such x and s = x / (2 + x)                         2e-18
//   sine            sin(pi x) / (pi x) in x^2, for |x| <= 1/2                                           7e-9    4e-19
//   cotangent       (1 - x^2) * pi x / tan(pi x) in x^2, for |x| <= 1/2; off by, not relatively         2e-8    2e-17
//   lgamma          lgamma(3/2 + x) / (x^2 - 1/4), the roots taken out, for x from -0.7 to 1            4e-8    4e-17
//   lgamma_series   (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) * x in 1 / x^2, for x >= 5/2     3e-10   8e-19
//   digamma         digamma(3/2 + x) / (3/2 + x - root) for |x| <= 1/2                                  2e-8    8e-17
//   digamma_series  (log(x) - 1 / (2 x) - digamma(x)) * x^2 in 1 / x^2, for x >= 2                      5e-11   2e-18
// The two series are fits too, since Stirling's own serve from about 10 on only.
template <typename T>
struct Of;

template <>
struct Of<float> {
    using Bits = std::uint32_t;
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float exp_lowest = -105, exp_highest = 89;  // beyond which exp is 0 and infinite
    static constexpr float exp_finite = 88.72283f;               // the greatest number whose exp is finite
    static constexpr float log2_high = 0.693145751953125f, log2_low = 1.4286068203e-6f;
    static constexpr float digamma_root_high = 1.4616321f, digamma_root_low = 1.243815e-8f;
    static constexpr float expm1[] = {0.5f, 0.16666664f, 0.0416663f, 0.008333754f, 0.0013951462f, 0.00019717462f};
    static constexpr float log[] = {
        0.33333355f, -0.25000852f, 0.19999766f, -0.16621315f, 0.142281f, -0.13203458f, 0.12615187f, -0.07353803f,
    };
    static constexpr float sine[] = {1.0f, -1.6449333f, 0.81171596f, -0.19044459f, 0.024719618f};
    static constexpr float cotangent[] = {1.0f, -4.2898703f, 1.1253009f, 0.12903698f, 0.030730788f};
    static constexpr float lgamma[] = {
        0.48312894f, -0.14595988f, 0.06291211f, -0.031309124f, 0.016787942f, -0.00941542f, 0.005495613f, -0.0032808199f,
        0.0018096789f, -0.00094940636f, 0.00077555556f, -0.00072822155f, 0.00039360515f, -8.339999e-05f,
    };
    static constexpr float lgamma_series[] = {0.0833333f, -0.002776057f, 0.00076412706f, -0.00036803287f};
    static constexpr float digamma[] = {
        0.9510559f, -0.4236275f, 0.24054185f, -0.14839895f, 0.09500053f, -0.062054716f, 0.040702336f, -0.025793545f,
        0.017714819f, -0.016361883f, 0.010019378f,
    };
    static constexpr float digamma_series[] = {
        0.08333331f, -0.0083319135f, 0.00393188f, -0.0036981266f, 0.0040232674f, -0.0026915527f,
    };
};

template <>
struct Of<double> {
    using Bits = std::uint64_t;
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double exp_lowest = -746, exp_highest = 710, exp_finite = 709.782712893384;
    static constexpr double log2_high = 0.6931471805598903, log2_low = 5.497923018708371e-14;
    static constexpr double digamma_root_high = 1.4616321449683622, digamma_root_low = 9.5499954299656977e-17;
    static constexpr double expm1[] = {
        0.5, 0.1666666666666672, 0.04166666666666633, 0.008333333333287863, 0.001388888888903503,
        0.00019841269965054195, 2.480158710613118e-05, 2.755717179325996e-06, 2.755739840007068e-07,
        2.5131898045750893e-08, 2.0891490015254187e-09,
    };
    static constexpr double log[] = {
        0.6666666666666736, 0.39999999999405483, 0.28571428744061894, 0.22222198426151224, 0.18183571057432849,
        0.15313895728652202, 0.1479736350587642,
    };
    static constexpr double sine[] = {
        1.0, -1.6449340668482264, 0.8117424252833462, -0.19075182412167535, 0.026147847807943447,
        -0.0023460809132988605, 0.00014842791661816342, -6.97226742325718e-06, 2.4518340700585633e-07,
    };
    static constexpr double cotangent[] = {
        1.0, -4.289868133696444, 1.1252216662728571, 0.12996034352474317, 0.026531409672207087, 0.006165590807145,
        0.0014967164509627603, 0.00037113035560409625, 8.710264485098815e-05, 3.1538235233790714e-05,
    };
    static constexpr double lgamma[] = {
        0.4831289505409809, -0.14595989591430603, 0.06291140107456729, -0.03130848750102117, 0.01679709863111053,
        -0.009425622447926897, 0.005446457844736899, -0.0032120740899743015, 0.0019229161708989072,
        -0.0011644143222188867, 0.000711521599337235, -0.0004379959888557734, 0.0002712838210602307,
        -0.00016889376402539464, 0.00010558336057444322, -6.628864769114391e-05, 4.1925355298366265e-05,
        -2.6574944226988003e-05, 1.640657007724406e-05, -1.0022530972149368e-05, 7.075248131891442e-06,
        -5.500939663772656e-06, 2.9715425532464882e-06, -5.155763168280395e-07, 2.4891614835272854e-07,
        -1.1817101966770978e-06, 1.24403530747612e-06, -5.473662112451472e-07, 9.166338315384954e-08,
    };
    static constexpr double lgamma_series[] = {
        0.08333333333333166, -0.002777777777083246, 0.00079365068682371, -0.0005952294428536606, 0.0008413199522676666,
        -0.0019031010549659688, 0.006065065864148557, -0.023336899208638413, 0.09072276980126401, -0.3032141444703428,
        0.758430532591687, -1.2136022187982138, 0.9143219657067763,
    };
    static constexpr double digamma[] = {
        0.951055876031833, -0.4236274212814605, 0.2405424842407582, -0.14840492305390318, 0.09498872445632645,
        -0.06192213327354076, 0.040760833757526, -0.026975796737598815, 0.017907253635129884, -0.011908218400533906,
        0.007926928992090358, -0.005279959695880521, 0.003519134857896262, -0.0023453098278881273,
        0.0015559661794823365, -0.0010374199764236806, 0.0007254408846521051, -0.00048288665599451036,
        0.00022347435236190336, -0.00015026803195283524, 0.0002625487582721394, -0.00017404752601197043,
    };
    static constexpr double digamma_series[] = {
        0.08333333333332843, -0.008333333330859956, 0.00396825352121059, -0.004166624516703368, 0.007573307774934124,
        -0.02099602507901617, 0.08055394413147589, -0.3819552790052549, 1.958984659247091, -9.626239603458048,
        41.45748351492742, -147.06347109137576, 409.0525642605669, -848.2251379243452, 1225.0007465863719,
        -1094.862757584812, 454.8022620021835,
    };
};

template <typename T>
using Bits = typename Of<T>::Bits;

template <typename T>
inline constexpr T nan = std::numeric_limits<T>::quiet_NaN();

// From here on all numbers are whole, and neighbours 1 apart.
template <typename T>
inline constexpr T whole = T(Bits<T>(1) << Of<T>::mantissa);

// Below it, x is as good as any function of x that begins with x.
template <typename T>
inline constexpr T negligible = std::numeric_limits<T>::epsilon() / 8;

template <typename T>
[[gnu::always_inline]] constexpr Bits<T> to_bits(const T x) {
    return __builtin_bit_cast(Bits<T>, x);
}

template <typename T>
[[gnu::always_inline]] constexpr T from_bits(const Bits<T> bits) {
    return __builtin_bit_cast(T, bits);
}

// x where the condition holds, else y. Of ?: GCC makes a branch first, and where x or y is a number, it computes ahead
// what follows from that, until the rest can no longer be vectorised. But without SSE4.2 it knows no mask of doubles.
template <typename T>
[[gnu::always_inline]] inline T choose(const bool condition, const T x, const T y) {
#if defined(__SSE2__) && !defined(__SSE4_2__)
    if constexpr (sizeof(T) == 8) return condition ? x : y;
#endif
    const Bits<T> mask = Bits<T>(0) - Bits<T>(condition);
    return from_bits<T>((to_bits(x) & mask) | (to_bits(y) & ~mask));
}

// maximum, of a number that is not NaN and any other; one comparison less.
template <typename T>
[[gnu::always_inline]] inline T at_least(const T low, const T x) {
    return choose(x <= low, low, x);
}

template <std::size_t exponent, typename T>
[[gnu::always_inline]] inline T power(const T x) {
    if constexpr (exponent == 1) {
        return x;
    } else {
        const T root = power<exponent / 2>(x);
        return root * root;
    }
}

template <std::size_t first, std::size_t count, typename T, std::size_t N>
[[gnu::always_inline]] inline T terms(const T (&coefficients)[N], const T x) {
    if constexpr (count == 1) {
        return coefficients[first];
    } else {
        constexpr std::size_t half = std::bit_ceil(count) / 2;
        const T high = terms<first + half, count - half>(coefficients, x);
        return high * power<half>(x) + terms<first, half>(coefficients, x);
    }
}

// A polynomial by halves (Estrin), which do not wait for one another: the time it takes is that of its longest chain.
template <typename T, std::size_t N>
[[gnu::always_inline]] inline T polynomial(const T (&coefficients)[N], const T x) {
    return terms<0, N>(coefficients, x);
}

// One that is nearly the result: with two steps of Horner's at the end, less of its rounding is seen.
template <typename T, std::size_t N>
[[gnu::always_inline]] inline T precise_polynomial(const T (&coefficients)[N], const T x) {
    return coefficients[0] + x * (coefficients[1] + x * terms<2, N - 2>(coefficients, x));
}

// ----- exponentials -----

template <typename T>
inline constexpr T log2_e = T(1.4426950408889634);

// Bounded, as x may be where the result is the same; NaN stays.
template <typename T>
[[gnu::always_inline]] inline T bounded(const T low, const T x, const T high) {
    const T above = choose(x < low, low, x);
    return choose(above > high, high, above);
}

// x = n log(2) + rest with a whole number n, of which `power` has n + 2 bias in its last bits.
template <typename T>
struct Reduced {
    T rest;
    Bits<T> power;
};

// What is added to it is rounded to a whole number, which the last bits of the sum then tell.
template <typename T>
inline constexpr T rounding = T(1.5) * whole<T> + T(2 * Of<T>::bias);

template <typename T>
[[gnu::always_inline]] inline Reduced<T> reduced(const T x, const T rounded) {
    const T n = rounded - rounding<T>;
    return {(x - n * Of<T>::log2_high) - n * Of<T>::log2_low, to_bits(rounded)};
}

// 2^n, of a number with n + bias in its last bits.
template <typename T>
[[gnu::always_inline]] inline T power_of_two(const Bits<T> biased) {
    return from_bits<T>(biased << Of<T>::mantissa);
}

template <typename T>
[[gnu::always_inline]] inline T expm1_near_0(const T x) {
    return x + x * x * polynomial(Of<T>::expm1, x);
}

// ----- logarithms -----

// A positive normal number as 2^exponent * fraction, the fraction from sqrt(1/2) to sqrt(2).
template <typename T>
struct Binary {
    T exponent, fraction;
};

template <typename T>
[[gnu::always_inline]] inline Binary<T> binary(const T x) {
    constexpr Bits<T> lowest = to_bits(T(0.7071067811865476)), mantissa = (Bits<T>(1) << Of<T>::mantissa) - 1;
    const Bits<T> steps = to_bits(x) - lowest + to_bits(T(1));
    return {
        from_bits<T>(steps >> Of<T>::mantissa | to_bits(whole<T>)) - (whole<T> + Of<T>::bias),
        from_bits<T>((steps & mantissa) + lowest),
    };
}

// A logarithm as the sum of an exact part, to which also 1 can be added exactly, and a small one.
template <typename T>
struct Logarithm {
    T high, low;
};

// log(2^exponent (1 + x)) for 1 + x from sqrt(1/2) to sqrt(2).
template <typename T>
[[gnu::always_inline]] inline Logarithm<T> logarithm(const T exponent, const T x) {
    const T half_square = T(0.5) * x * x;
    T rest;  // of log(1 + x), after x - x^2 / 2
    if constexpr (sizeof(T) == 4) {
        rest = x * x * x * polynomial(Of<T>::log, x);
    } else {
        // of 2 atanh(s), which takes a third of the terms
        const T s = x / (T(2) + x), square = s * s;
        rest = s * (half_square + square * polynomial(Of<T>::log, square));
    }
    return {exponent * Of<T>::log2_high, x - ((half_square - exponent * Of<T>::log2_low) - rest)};
}

// Of a finite number above 0; of others a number without meaning.
template <typename T>
[[gnu::always_inline]] inline Logarithm<T> logarithm(const T x) {
    const bool subnormal = x < std::numeric_limits<T>::min();
    const auto [exponent, fraction] = binary(choose(subnormal, x * whole<T>, x));
    return logarithm(choose(subnormal, exponent - T(Of<T>::mantissa), exponent), fraction - T(1));
}

// Of a finite number above -1, or NaN.
template <typename T>
[[gnu::always_inline]] inline T log1p_of_finite(const T x) {
    const T total = T(1) + x;
    // what rounding took from the total, exactly, wherever it counts
    const T lost = x - (total - T(1));
    const auto [exponent, fraction] = binary(total);
    // 2^(1 - exponent), which is finite for all exponents
    const T scale = from_bits<T>(to_bits(fraction) - to_bits(total) + to_bits(T(2)));
    const auto [high, low] = logarithm(exponent, (fraction - T(1)) + lost * (T(0.5) * scale));
    return choose(abs(x) < negligible<T>, x, high + low);
}

// ----- the gamma function -----

// How far a number that is not negative is from the nearest whole one: from -1/2 to 1/2.
template <typename T>
[[gnu::always_inline]] inline T off_whole(const T x) {
    return choose(x < whole<T>, x - ((x + whole<T>) - whole<T>), T(0));
}

template <typename T>
[[gnu::always_inline]] inline T lgamma_of_positive(const T x) {
    const bool small = x < T(0.8), large = x >= T(2.5);
    const auto [high, low] = logarithm(choose(small, x, choose(large, x, T(1))));
    const T inverse = T(1) / x, series = inverse * polynomial(Of<T>::lgamma_series, inverse * inverse);
    const T of_large = (x - T(0.5)) * ((high - T(1)) + low) + (T(0.4189385332046727) + series);
    // lgamma(x) = lgamma(x + 1) - log(x), the latter 0 in between
    const T off_1 = choose(small, x, x - T(1)), off_2 = choose(small, x - T(1), x - T(2));
    const T of_others = off_1 * off_2 * precise_polynomial(Of<T>::lgamma, off_1 - T(0.5)) - (high + low);
    return choose(large, of_large, of_others);
}

template <typename T>
[[gnu::always_inline]] inline T digamma_of_positive(const T x) {
    const auto [high, low] = logarithm(x);
    const T inverse = T(1) / x, square = inverse * inverse;
    const T of_large = high + (low - (T(0.5) * inverse + square * polynomial(Of<T>::digamma_series, square)));
    // digamma(x) = digamma(x + 1) - 1 / x; the root is taken out, so that the relative accuracy holds beside it
    const T base = choose(x < T(1), x + T(1), x);
    const T off_root = (base - Of<T>::digamma_root_high) - Of<T>::digamma_root_low;
    const T of_base = off_root * precise_polynomial(Of<T>::digamma, base - T(1.5));
    const T of_small = of_base - choose(x < T(1), inverse, T(0));
    return choose(x < T(2), of_small, choose(x == infinity<T>, x, of_large));
}

}  // namespace detail

// ----- the words -----

template <typename T>
inline T where(const bool condition, const T x, const T y) {
    return detail::choose(condition, x, y);
}

template <typename T>
inline T abs(const T x) {
    return detail::from_bits<T>(detail::to_bits(x) & ~detail::to_bits(T(-0.0)));
}

template <typename T>
inline T sign(const T x) {
    return where(x > T(0), T(1), where(x < T(0), T(-1), T(0)));
}

template <typename T>
inline T step(const T x) {
    return where(x >= T(0), T(1), T(0));
}

template <typename T>
inline T sqrt(const T x) {
    return __builtin_sqrt(x);
}

template <typename T>
inline T exp(const T x) {
    using namespace detail;
    const T inside = bounded(Of<T>::exp_lowest, x, Of<T>::exp_highest);
    const auto [rest, n] = reduced(inside, inside * log2_e<T> + rounding<T>);
    // in two steps, since the power of two may be subnormal or infinite where the result is not
    const Bits<T> half = n >> 1;
    const T root = power_of_two<T>(half), scaled = (root + root * expm1_near_0(rest)) * power_of_two<T>(n - half);
    // chosen and not computed: a product that overflows may be contracted with what follows, and then does not
    return choose(x > Of<T>::exp_finite, infinity<T>, scaled);
}

template <typename T>
inline T expm1(const T x) {
    using namespace detail;
    const T inside = bounded(T(-60), x, Of<T>::exp_highest);
    // up to 0.41 there is no n; from there on the term that is added to 2^n - 1 is the smaller one
    const auto [rest, n] = reduced(inside, choose(abs(x) < T(0.41), rounding<T>, inside * log2_e<T> + rounding<T>));
    const T half = power_of_two<T>(n - Bits<T>(Of<T>::bias + 1));
    return choose(abs(x) < negligible<T>, x, T(2) * (half * expm1_near_0(rest) + (half - T(0.5))));
}

template <typename T>
inline T log(const T x) {
    using namespace detail;
    const auto [high, low] = logarithm(x);
    const T usual = choose(x == infinity<T>, x, high + low);
    return choose(x > T(0), usual, choose(x == T(0), -infinity<T>, nan<T>));
}

template <typename T>
inline T log1p(const T x) {
    using namespace detail;
    const T usual = choose(x == infinity<T>, x, log1p_of_finite(x));
    return choose(x > T(-1), usual, choose(x == T(-1), -infinity<T>, nan<T>));
}

template <typename T>
inline T lgamma(const T x) {
    using namespace detail;
    // lgamma(x) = log(pi / |sin(pi x)|) - lgamma(1 - x)
    const T part = abs(off_whole(abs(x)));
    const T of_positive = lgamma_of_positive(choose(x < T(0), T(1) - x, x));
    const auto [high, low] = logarithm(part * polynomial(Of<T>::sine, part * part));
    const T reflected = choose(part == T(0), infinity<T>, -(high + low) - of_positive);
    return choose(x <= T(0), reflected, of_positive);
}

template <typename T>
inline T digamma(const T x) {
    using namespace detail;
    // digamma(x) = digamma(1 - x) - pi / tan(pi x)
    const T part = off_whole(abs(x)), square = part * part;
    const T of_positive = digamma_of_positive(choose(x < T(0), T(1) - x, x));
    const T cotangent = polynomial(Of<T>::cotangent, square) / (part - part * square);
    const T reflected = choose(part == T(0), nan<T>, of_positive + cotangent);
    return choose(x < T(0), reflected, of_positive);
}

template <typename T>
inline T sigmoid(const T x) {
    const T small = exp(-abs(x));
    return where(x >= T(0), T(1), small) / (T(1) + small);
}

template <typename T>
inline T softplus(const T x) {
    return detail::at_least(T(0), x) + detail::log1p_of_finite(exp(-abs(x)));
}

// A comparison with NaN is false: x is kept where it is NaN, and y where that is.
template <typename T>
inline T minimum(const T x, const T y) {
    return where(x < y, x, where(x == x, y, x));
}

template <typename T>
inline T maximum(const T x, const T y) {
    return where(x > y, x, where(x == x, y, x));
}

template <typename T>
inline T hinge(const T x) {
    return detail::at_least(T(0), x);
}

template <typename T>
inline T relu(const T x) {
    return detail::at_least(T(0), x);
}

template <typename T>
inline T floor_at(const T x, const T low) {
    return maximum(x, low);
}

template <typename T>
inline T product(const T x, const T y) {
    return where(abs(y) == infinity<T>, where(x == T(0), T(0), x * y), x * y);
}

template <typename T>
inline T xlogy(const T x, const T y) {
    return where(x == T(0), where(y == y, T(0), y), x * log(y));
}

template <typename T>
inline T log_probability(const T p) {
    return detail::at_least(T(-100), log(p));
}

template <typename T>
inline T log_complement(const T p) {
    return detail::at_least(T(-100), log1p(-p));
}

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
