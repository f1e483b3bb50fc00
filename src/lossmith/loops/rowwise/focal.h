// Focal losses of softmax rows: what a surprisal -log p costs is the formula's, (1 - p)^gamma times it.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "formulas.h"
#include "rows.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

// Runs a loop with the cost and its slope as a function of the surprisal; without a logarithm where gamma is 2. Who calls it
// is flattened: a loop with a call in it is not vectorised.
template <typename T, typename Loop>
[[gnu::always_inline]] inline void with_focus(const RowwiseCall& call, const Loop& loop) {
    if (call.gamma == 2) {
        loop([](const T surprisal) { return focal_squared(surprisal); });
    } else {
        const T gamma = static_cast<T>(call.gamma);
        loop([gamma](const T surprisal) { return focal(surprisal, gamma, T(0)); });
    }
}

// ----- against labels: the gradient is that of the surprisal, times the slope -----

// In double, which is one exponential and one logarithm for a row.
static inline std::array<double, 2> focused(const RowwiseCall& call, const double surprisal) {
    std::array<double, 2> result{};
    with_focus<double>(call, [&](const auto& focus) { result = focus(surprisal); });
    return result;
}

// The rows of a tile: the surprisals become costs, and get their slopes.
template <typename T>
[[gnu::flatten]] inline void focused(const RowwiseCall& call, const Index rows, T* const surprisal, T* const slope) {
    with_focus<T>(call, [=](const auto& focus) {
#pragma GCC ivdep
        for (Index i = 0; i < rows; ++i) {
            const auto [cost, of_cost] = focus(surprisal[i]);
            surprisal[i] = cost, slope[i] = of_cost;
        }
    });
}

// ----- against probabilities q: each class has a cost of its own -----

template <typename T>
[[gnu::flatten]] inline T focal_probabilities(const RowwiseCall& call, const Row<T>& row) {
    const std::size_t n = static_cast<std::size_t>(call.classes);
    const T greatest = greatest_of(row.x, call.classes);
    const double total = exponentials(row.x, call.classes, greatest, row.e);
    const T log_total = static_cast<T>(log(total)), coefficient = row.coefficient;
    const T* const weight = static_cast<const T*>(call.class_weight);
    const T *const x = row.x, *const q = row.q, *const e = row.e;
    T *const g = row.g, *const q_gradient = row.q_gradient, *const pull = row.room, *const cost = pull + n;
    with_focus<T>(call, [=](const auto& focus) {
#pragma GCC ivdep
        for (std::size_t i = 0; i < n; ++i) {
            const auto [surprise, slope] = focus(log_total + (greatest - x[i]));
            cost[i] = surprise, pull[i] = q[i] * slope;
        }
    });
    if (weight)
        for (std::size_t i = 0; i < n; ++i) cost[i] *= weight[i], pull[i] *= weight[i];
    const auto nothing = [=](const std::size_t i) { return q[i] == T(0) && abs(cost[i]) == infinity<T>; };
    const auto [value, mass] =
        sums_of(n, [=](const std::size_t i) { return std::pair(where(nothing(i), T(0), q[i] * cost[i]), pull[i]); });
    if (q_gradient)
        for (std::size_t i = 0; i < n; ++i) q_gradient[i] = where(nothing(i), T(0), cost[i] * coefficient);
    if (g) {
        const T share = static_cast<T>(mass / total);
#pragma GCC ivdep
        for (std::size_t i = 0; i < n; ++i) g[i] = (e[i] * share - pull[i]) * coefficient;
    }
    return static_cast<T>(value);
}

template <typename T>
[[gnu::flatten]] inline void focal_probabilities(const RowwiseCall& call, Tile<T>& tile, const Side<T>& side,
                                                 const T scale) {
    const Index n = call.classes, w = tile.count;
    const T* const weight = static_cast<const T*>(call.class_weight);
    alignas(64) T greatest[TILE], log_total[TILE], coefficient[TILE], share[TILE];
    alignas(64) double total[TILE], value[TILE], mass[TILE];
    for (Index i = 0; i < w; ++i) {
        total[i] = value[i] = mass[i] = 0;
        coefficient[i] = tile.used[i] ? tile.factor[i] * scale : T(0);
    }
    greatest_of(side.x, side.x_step, n, w, greatest);
    T room[TILE];
    for (Index c = 0; c < n; ++c) {
        const T* const x = side.x + c * side.x_step;
        T* const e = side.g ? side.g + c * side.g_step : room;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            e[i] = exp(x[i] - greatest[i]);
            total[i] += static_cast<double>(e[i]);
        }
    }
#pragma GCC ivdep
    for (Index i = 0; i < w; ++i) log_total[i] = log(static_cast<T>(total[i]));
    with_focus<T>(call, [&](const auto& focus) {
        // what the compiler sees through a closure is not vectorised
        double *const values = value, *const masses = mass;
        const T* const factor = coefficient;
        const bool* const used = tile.used;
        for (Index c = 0; c < n; ++c) {
            const T *const x = side.x + c * side.x_step, *const q = side.q + c * side.q_step;
            const T of_class = weight ? weight[c] : T(1);
            T* const q_gradient = side.q_gradient ? side.q_gradient + c * side.q_gradient_step : nullptr;
            T* const pull = side.room + c * TILE;
            alignas(64) T cost[TILE];
#pragma GCC ivdep
            for (Index i = 0; i < w; ++i) {
                const auto [surprise, slope] = focus(log_total[i] + (greatest[i] - x[i]));
                cost[i] = of_class * surprise, pull[i] = of_class * q[i] * slope;
            }
#pragma GCC ivdep
            for (Index i = 0; i < w; ++i) {
                const bool nothing = q[i] == T(0) && abs(cost[i]) == infinity<T>;
                values[i] += static_cast<double>(nothing ? T(0) : q[i] * cost[i]);
                masses[i] += static_cast<double>(pull[i]);
                if (q_gradient) q_gradient[i] = nothing || !used[i] ? T(0) : cost[i] * factor[i];
            }
        }
    });
    for (Index i = 0; i < w; ++i) {
        tile.value[i] = tile.used[i] ? static_cast<T>(value[i]) * tile.factor[i] : T(0);
        share[i] = static_cast<T>(mass[i] / total[i]);
    }
    if (!side.g) return;
    for (Index c = 0; c < n; ++c) {
        const T* const pull = side.room + c * TILE;
        T* const g = side.g + c * side.g_step;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) g[i] = tile.used[i] ? (g[i] * share[i] - pull[i]) * coefficient[i] : T(0);
    }
}

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
