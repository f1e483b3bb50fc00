// The distances of vectors x and y: the gradient of one is slope * direction(i) for x, and its opposite for y.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "rows.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {
namespace {

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

}  // namespace
}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
