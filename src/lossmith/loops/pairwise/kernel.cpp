// Losses over pairs of vectors: cosine embedding and triplet margin, the value and the gradients in one pass.
//
// Each row is brought to contiguous numbers of the compute type (or used where it lies, if it is that) and swept twice,
// while it is in the first cache: for the sums of its pairs, and for its gradients. Sums are computed in double, in
// which no square of a float overflows or vanishes; squares of doubles may do either, and then the row is summed again,
// scaled by a power of two. Gradients are computed in the compute type, and rounded once to a narrower one.
#include "kernel.h"

#include <omp.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "formulas.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {
namespace {

using Vectors = PairwiseCall::Vectors;
using Numbers = PairwiseCall::Numbers;

constexpr double COSINE_EPS = 1e-12;  // what torch adds to both squared lengths

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

    const T* operand(const int k, const std::int64_t row) const {
        const Vectors& from = call.operands[k];
        char* const place = at(from, row);
        if (pairwise_in_place(call, from)) return reinterpret_cast<const T*>(place);
        load(place, from.dtype, from.inner_stride, width, copy(k));
        return copy(k);
    }

    // Writes element(i) to the gradient of operand k, if it is wanted.
    template <typename Element>
    [[gnu::always_inline]] void gradient(const int k, const std::int64_t row, const Element& element) const {
        const Vectors& to = call.gradients[k];
        if (!to.data) return;
        char* const place = at(to, row);
        const bool in_place = pairwise_in_place(call, to);
        T* const result = in_place ? reinterpret_cast<T*>(place) : copy(3);
        const std::size_t n = width;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) result[i] = static_cast<T>(element(i));
        if (!in_place) store(result, place, to.dtype, to.inner_stride, n);
    }

    double* direction(const std::size_t pair) const {
        return reinterpret_cast<double*>(scratch + (pairwise_copies(call) + pair) * pairwise_slot(call));
    }

    const PairwiseCall& call;
    const std::size_t width;

   private:
    static char* at(const Vectors& vectors, const std::int64_t row) {
        return vectors.data + row * vectors.row_stride * static_cast<std::int64_t>(size_of(vectors.dtype));
    }
    T* copy(const int slot) const {
        return reinterpret_cast<T*>(scratch + static_cast<std::size_t>(slot) * pairwise_slot(call));
    }

    char* const scratch;
};

// ----- cosines -----

// A vector in a unit in which its squares are in range; that is 1 for floats.
template <typename T>
struct Scaled {
    const T* x;
    double inverse = 1;

    template <typename C = double>
    [[gnu::always_inline]] C at(const std::size_t i) const {
        if constexpr (sizeof(T) == 4)
            return static_cast<C>(x[i]);
        else
            return x[i] * inverse;
    }
};

template <typename T>
inline Scaled<T> in_range(const std::size_t n, const T* const x) {
    const T top = greatest<T>(n, [&](const std::size_t i) { return x[i]; });
    return {x, top > 1 ? inverse_near(top) : 1};
}

template <typename T>
struct Cosine {
    double product, xx, yy;  // x . y, and x . x and y . y with eps

    Cosine(const std::size_t n, const Scaled<T> x, const Scaled<T> y) {
        const auto sums = totals<3>(n, [&](const std::size_t i, const auto& to) {
            const double a = x.at(i), b = y.at(i);
            to(0) += a * b;
            to(1) += a * a;
            to(2) += b * b;
        });
        product = sums.of[0];
        xx = sums.of[1] + COSINE_EPS * x.inverse * x.inverse;
        yy = sums.of[2] + COSINE_EPS * y.inverse * y.inverse;
    }
};

template <typename T>
struct CosineEmbedding {
    static double of(const Rows<T>& rows, const std::int64_t row, const double weight) {
        const PairwiseCall& call = rows.call;
        const std::size_t n = rows.width;
        Scaled<T> x{rows.operand(0, row)}, y{rows.operand(1, row)};
        Cosine<T> sums(n, x, y);
        if constexpr (sizeof(T) == 8)
            if (!(sums.xx * sums.yy < infinity<double>))
                sums = Cosine<T>(n, x = in_range(n, x.x), y = in_range(n, y.x));
        const double lengths = sqrt(sums.xx * sums.yy), cosine = sums.product / lengths;
        const double target = static_cast<double>(number<T>(call.target, row));
        const auto loss = cosine_embedding<double>(cosine, target, call.margin);
        const double slope = loss[1] * weight;
        const auto gradient = [&](const int k, const Scaled<T> own, const double square, const Scaled<T> other) {
            const double across = slope / lengths * own.inverse, along = -slope * cosine / square * own.inverse;
            in_type_of<T>(
                [&](const auto across, const auto along) {
                    using C = std::remove_const_t<decltype(across)>;
                    rows.gradient(k, row, [=](const std::size_t i) {
                        return across * other.template at<C>(i) + along * own.template at<C>(i);
                    });
                },
                across, along);
        };
        gradient(0, x, sums.xx, y);
        gradient(1, y, sums.yy, x);
        return loss[0];
    }
};

// ----- distances: the gradient of the distance of x and y is slope * direction(i) for x, and its opposite for y -----

template <typename T>
class Euclidean {
   public:
    using Compared = double;  // what distances are compared in

    Euclidean(const Rows<T>& rows, const T* const x, const T* const y, const std::size_t)
        : x(x), y(y), eps(rows.call.eps) {
        const auto squares = [&] {
            return total(rows.width, [&](const std::size_t i) {
                const double x = direction<double>(i);
                return x * x;
            });
        };
        double square = squares();
        if constexpr (sizeof(T) == 8) {
            if (!(square > 0x1p-900 && square < 0x1p1000)) {
                inverse = inverse_near(greatest<T>(rows.width, [&](const std::size_t i) { return direction<T>(i); }));
                square = squares();
            }
        }
        const double root = sqrt(square);
        distance = root / inverse;
        slope = square == 0 ? 0 : 1 / root;
    }

    template <typename C>
    [[gnu::always_inline]] C direction(const std::size_t i) const {
        const C difference = static_cast<C>(x[i]) - static_cast<C>(y[i]) + static_cast<C>(eps);
        return sizeof(T) == 4 ? difference : static_cast<C>(difference * inverse);
    }

    double distance, slope;

   private:
    const T *x, *y;
    double eps, inverse = 1;
};

// What distances that are not of squares have in common: differences are rounded to the compute type, as torch's are.
template <typename T>
class Plain {
   public:
    using Compared = T;

    double distance = 0, slope = 0;

   protected:
    Plain(const Rows<T>& rows, const T* const x, const T* const y)
        : x(x), y(y), eps(static_cast<T>(rows.call.eps)) {}

    [[gnu::always_inline]] T difference(const std::size_t i) const { return x[i] - y[i] + eps; }

   private:
    const T *x, *y;
    T eps;
};

template <typename T>
class Manhattan : public Plain<T> {
   public:
    Manhattan(const Rows<T>& rows, const T* const x, const T* const y, const std::size_t) : Plain<T>(rows, x, y) {
        this->distance = total(rows.width, [&](const std::size_t i) { return abs(this->difference(i)); });
        this->slope = 1;
    }

    template <typename C>
    [[gnu::always_inline]] C direction(const std::size_t i) const {
        return static_cast<C>(sign(this->difference(i)));
    }
};

template <typename T>
class Greatest : public Plain<T> {
   public:
    Greatest(const Rows<T>& rows, const T* const x, const T* const y, const std::size_t) : Plain<T>(rows, x, y) {
        top = greatest<T>(rows.width, [&](const std::size_t i) { return this->difference(i); });
        std::int64_t ties = 0;
        for (std::size_t i = 0; i < rows.width; ++i) ties += abs(this->difference(i)) == top;
        this->distance = static_cast<double>(top);
        this->slope = top == 0 ? 0 : 1 / static_cast<double>(ties);  // ties share it evenly
    }

    template <typename C>
    [[gnu::always_inline]] C direction(const std::size_t i) const {
        const T difference = this->difference(i);
        return static_cast<C>(difference == top ? T(1) : difference == -top ? T(-1) : T(0));
    }

   private:
    T top;
};

// Any other p above 0. The powers are of shares of the greatest difference; the directions are kept, powers being dear.
template <typename T>
class Minkowski : public Plain<T> {
   public:
    Minkowski(const Rows<T>& rows, const T* const x, const T* const y, const std::size_t pair)
        : Plain<T>(rows, x, y), directions(rows.direction(pair)) {
        const double p = rows.call.p;
        const T top = greatest<T>(rows.width, [&](const std::size_t i) { return this->difference(i); });
        const double scale = top > 0 && top < infinity<T> ? static_cast<double>(top) : 1;
        double sum = p >= 1 ? convex(rows.width, p, scale) : concave(rows.width, p, scale);
        this->slope = sum == 0 ? 0 : std::pow(sum, 1 / p - 1);
        if (p < 1) {
            // the root may overflow; the difference of two infinite distances would be NaN
            const double most = std::pow(static_cast<double>(std::numeric_limits<T>::max()), p / 2);
            if (!(sum <= most)) this->slope = 0;
            sum = minimum(sum, most);
        }
        this->distance = scale * std::pow(sum, 1 / p);
    }

    template <typename C>
    [[gnu::always_inline]] C direction(const std::size_t i) const {
        return static_cast<C>(directions[i]);
    }

   private:
    // Both give the sum of the powers, and leave the directions: the powers with an exponent less by 1.
    double convex(const std::size_t n, const double p, const double scale) {
        double* const kept = directions;
        return total(n, [&](const std::size_t i) {
            const double difference = static_cast<double>(this->difference(i)), share = abs(difference) / scale;
            const double below = power(share, p - 1);
            kept[i] = std::copysign(below, difference);
            return below * share;
        });
    }

    double concave(const std::size_t n, const double p, const double scale) {
        double* const kept = directions;
        return total(n, [&](const std::size_t i) {
            const double difference = static_cast<double>(this->difference(i)), share = abs(difference) / scale;
            const double whole = power(share, p);
            // next to 0 they have no bound, and are 0
            kept[i] = std::copysign(share <= 1e-12 || share == infinity<double> ? 0 : whole / share, difference);
            return whole;
        });
    }

    // For floats, in a way that is good enough for them, and vectorised.
    [[gnu::always_inline]] static double power(const double x, const double exponent) {
        return sizeof(T) == 4 ? exp(exponent * log(x)) : std::pow(x, exponent);
    }

    double* directions;
};

template <typename T, template <typename> class Distance>
struct TripletMargin {
    static double of(const Rows<T>& rows, const std::int64_t row, const double weight) {
        const bool swap = rows.call.swap;
        const T *const anchor = rows.operand(0, row), *const positive = rows.operand(1, row);
        const T* const negative = rows.operand(2, row);
        const Distance<T> near(rows, anchor, positive, 0), far(rows, anchor, negative, 1);
        const Distance<T> other = swap ? Distance<T>(rows, positive, negative, 2) : far;
        double loss = 0, share = 0, near_slope = 0, far_slope = 0;
        in_type_of<typename Distance<T>::Compared>(
            [&](const auto to_positive, const auto to_negative, const auto instead, const auto margin) {
                const auto result = triplet(to_positive, minimum(to_negative, instead), margin);
                loss = result[0], near_slope = result[1], far_slope = result[2];
                // as torch.minimum: each of two equal distances has half of the gradient
                share = !swap || to_negative < instead ? 1 : to_negative == instead ? 0.5 : 0;
            },
            near.distance, far.distance, other.distance, rows.call.margin);
        const double of_near = near_slope * weight * near.slope, of_far = far_slope * share * weight * far.slope;
        const double of_other = far_slope * (1 - share) * weight * other.slope;
        in_type_of<T>(
            // the distances are looked at too: where one is beyond floats a difference may be
            [&](const auto of_near, const auto of_far, const auto of_other, auto...) {
                using C = std::remove_const_t<decltype(of_near)>;
                const auto near_at = [&](const std::size_t i) { return of_near * near.template direction<C>(i); };
                const auto far_at = [&](const std::size_t i) { return of_far * far.template direction<C>(i); };
                const auto other_at = [&](const std::size_t i) { return of_other * other.template direction<C>(i); };
                rows.gradient(0, row, [&](const std::size_t i) { return near_at(i) + far_at(i); });
                if (swap) {
                    rows.gradient(1, row, [&](const std::size_t i) { return other_at(i) - near_at(i); });
                    rows.gradient(2, row, [&](const std::size_t i) { return -far_at(i) - other_at(i); });
                } else {
                    rows.gradient(1, row, [&](const std::size_t i) { return -near_at(i); });
                    rows.gradient(2, row, [&](const std::size_t i) { return -far_at(i); });
                }
            },
            of_near, of_far, of_other, near.distance, far.distance, other.distance);
        return loss;
    }
};

// ----- the loop -----

template <typename T, typename Loss>
void run_piece(const PairwiseCall& call, const std::int64_t piece, const int thread) {
    const Rows<T> rows(call, thread);
    const std::int64_t begin = piece * pairwise_rows(call), next = begin + pairwise_rows(call);
    const std::int64_t end = next < call.rows ? next : call.rows;
    double sum = 0;
    for (std::int64_t row = begin; row < end; ++row) {
        T value = 0;
        if (!call.mask.data || call.mask.data[row * call.mask.stride]) {
            double weight = 1;
            for (int k = 0; k < call.factors; ++k) weight *= number<double>(call.factor[k], row);
            value = static_cast<T>(Loss::of(rows, row, weight * call.scale) * weight);
        } else {
            for (int k = 0; k < 3; ++k) rows.gradient(k, row, [](std::size_t) { return 0.0; });
        }
        sum += static_cast<double>(value);
        if (call.values.data) {
            const auto size = static_cast<std::int64_t>(size_of(call.values.dtype));
            store(&value, call.values.data + row * call.values.stride * size, call.values.dtype, 1, 1);
        }
    }
    call.partials[piece] = sum;
}

template <typename T>
auto piece_of(const PairwiseCall& call) {
    if (call.loss == PairwiseLoss::cosine_embedding) return run_piece<T, CosineEmbedding<T>>;
    if (call.p == 2) return run_piece<T, TripletMargin<T, Euclidean>>;
    if (call.p == 1) return run_piece<T, TripletMargin<T, Manhattan>>;
    if (call.p == infinity<double>) return run_piece<T, TripletMargin<T, Greatest>>;
    return run_piece<T, TripletMargin<T, Minkowski>>;
}

void run(const PairwiseCall& call) {
    const auto run_one = call.wide ? piece_of<double>(call) : piece_of<float>(call);
    const std::int64_t pieces = pairwise_pieces(call);
    const int threads = pieces < call.threads ? static_cast<int>(pieces) : call.threads;
    in_parallel(pieces, threads, [&](const std::int64_t piece) {
        // without a region of its own the number would be that of the caller's
        run_one(call, piece, threads > 1 ? omp_get_thread_num() : 0);
    });
}

}  // namespace

extern const PairwiseKernels pairwise_kernels;
const PairwiseKernels pairwise_kernels = {run};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
