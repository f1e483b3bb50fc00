// Losses over rows of classes: value and gradients of a row while it is in the cache, along any dimension.
//
// Rows are taken in tiles. Where the classes of a row lie side by side and are many, each row runs by itself. Where the
// rows lie side by side (images: the class is an outer dimension), vectors run across the rows of a tile; a tile of rows
// with few classes is turned first, so that it can run in the same way.
#include "kernel.h"

#include <omp.h>

#include <cstddef>
#include <utility>

#include "distillation.h"
#include "focal.h"
#include "lossmith/native/parallel.h"
#include "rows.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

// ----- one row -----

template <typename T>
inline T softmax_labels(const RowwiseCall& call, const Row<T>& row) {
    const Index n = call.classes, y = row.label;
    const T greatest = greatest_of(row.x, n);
    const T lead = row.x[y] - greatest;
    // the label apart: if its score is the greatest, log1p(rest) keeps its relative accuracy
    const double others = exponentials(row.x, n, greatest, row.e, y);
    const double rest = others + expm1(static_cast<double>(lead));
    const double log_total = log1p(rest), surprisal = log_total - static_cast<double>(lead);
    const bool focal = call.loss == RowLoss::focal_labels;
    const auto [cost, steepness] = focal ? focused(call, surprisal) : std::array{surprisal, 1.0};
    const double a = (1 - call.smoothing) * static_cast<double>(row.own), b = call.smoothing / static_cast<double>(n);
    const T* const weight = static_cast<const T*>(call.class_weight);
    double value = a * cost;
    if (b > 0) {
        const T* const x = row.x;
        const std::size_t size = static_cast<std::size_t>(n);
        const double below = weight ? sum_of(size, [=](const std::size_t i) { return weight[i] * (greatest - x[i]); })
                                    : sum_of(size, [=](const std::size_t i) { return greatest - x[i]; });
        value += b * (call.weight_sum * log_total + below);
    }
    if (row.g) {
        const double total = 1 + rest, c = static_cast<double>(row.coefficient) * steepness;
        const T slope = static_cast<T>((a + b * call.weight_sum) / total * c), share = static_cast<T>(b * c);
        if (b > 0) {
            for (Index i = 0; i < n; ++i) row.g[i] = row.e[i] * slope - (weight ? share * weight[i] : share);
        } else {
            for (Index i = 0; i < n; ++i) row.g[i] = row.e[i] * slope;
        }
        const double p = exp(-surprisal), own_share = b * (weight ? static_cast<double>(weight[y]) : 1.0);
        row.g[y] = static_cast<T>(c * (a * expm1(-surprisal) + b * call.weight_sum * p - own_share));
    }
    return static_cast<T>(value);
}

template <typename T>
inline T softmax_probabilities(const RowwiseCall& call, const Row<T>& row) {
    const Index n = call.classes;
    const T greatest = greatest_of(row.x, n);
    const double total = exponentials(row.x, n, greatest, row.e);
    const T log_total = static_cast<T>(log(total));
    const T kept = static_cast<T>(1 - call.smoothing), floor = static_cast<T>(call.smoothing / static_cast<double>(n));
    const T* const weight = static_cast<const T*>(call.class_weight);
    const T *const x = row.x, *const given = row.q, *const e = row.e;
    const std::size_t size = static_cast<std::size_t>(n);
    T* const g = row.g;
    const auto of_class = [=](const std::size_t i) { return weight ? weight[i] : T(1); };
    // the loss of a class, and w q, whose sum is the row's mass
    const auto term = [=](const std::size_t i, const T w) {
        const T q = given[i] * kept + floor, cost = w * (log_total + (greatest - x[i]));
        return std::pair(where(q == T(0) && abs(cost) == infinity<T>, T(0), q * cost), w * q);
    };
    const auto [value, mass] = weight ? sums_of(size, [=](const std::size_t i) { return term(i, weight[i]); })
                                      : sums_of(size, [=](const std::size_t i) { return term(i, T(1)); });
    if (row.q_gradient) {
        T* const q_gradient = row.q_gradient;
        const T coefficient = kept * row.coefficient;
        for (std::size_t i = 0; i < size; ++i) {
            const T q = given[i] * kept + floor, cost = of_class(i) * (log_total + (greatest - x[i]));
            q_gradient[i] = where(q == T(0) && abs(cost) == infinity<T>, T(0), cost * coefficient);
        }
    }
    if (g) {
        const T slope = static_cast<T>(mass / total), coefficient = row.coefficient;
#pragma GCC ivdep
        for (std::size_t i = 0; i < size; ++i)
            g[i] = (e[i] * slope - (given[i] * kept + floor) * of_class(i)) * coefficient;
    }
    return static_cast<T>(value);
}

template <typename T>
inline T margin_to_label(const RowwiseCall& call, const Row<T>& row) {
    const Index n = call.classes, y = row.label;
    const std::size_t size = static_cast<std::size_t>(n);
    const T threshold = static_cast<T>(call.margin) - row.x[y], w = row.own / static_cast<T>(n);
    T* const cost = row.e;
    // as in torch a hinge has slope 0 at its kink, and NaN adds nothing
#pragma GCC ivdep
    for (Index i = 0; i < n; ++i) {
        const T excess = threshold + row.x[i];
        cost[i] = excess > T(0) ? excess : T(0);
    }
    cost[y] = T(0);
    double total = 0, slopes = 0;
    if (call.power == 1) {
        total = sum(cost, size);
        if (row.g) {
            const T slope = w * row.coefficient;
            const double active = sum_of(size, [&](const std::size_t i) { return T(cost[i] > T(0)); });
            for (Index i = 0; i < n; ++i) row.g[i] = cost[i] > T(0) ? slope : T(0);
            slopes = active * static_cast<double>(slope);
        }
    } else {
        total = sum_of(size, [&](const std::size_t i) { return static_cast<double>(cost[i]) * cost[i]; });
        if (row.g) {
            const T slope = T(2) * w * row.coefficient;
            slopes = sum(cost, size) * static_cast<double>(slope);
            for (Index i = 0; i < n; ++i) row.g[i] = cost[i] * slope;
        }
    }
    if (row.g) row.g[y] = static_cast<T>(-slopes);
    return static_cast<T>(static_cast<double>(row.own) * total / static_cast<double>(n));
}

// The labels of the set are those before the first that is negative; false if one is out of range.
template <typename T>
inline bool margins_of_set(const RowwiseCall& call, const Row<T>& row, const char* const labels, T* const inside,
                           T& value) {
    const Index n = call.classes;
    T *const outside = row.e, *const slope = inside + n;
    for (Index i = 0; i < n; ++i) inside[i] = slope[i] = T(0);
    // past the end of the set only -1 pads; other numbers there must be labels
    Index wrong = 0;
    if (call.target.dtype == Dtype::i64 && call.target_step == 1) {
        const auto* const all = reinterpret_cast<const std::int64_t*>(labels);
        for (Index k = 0; k < n; ++k) wrong |= (all[k] < -1) | (all[k] >= n);
    } else {
        for (Index k = 0; k < n; ++k) {
            const Index label = index_at(labels, call.target.dtype, k * call.target_step);
            wrong |= (label < -1) | (label >= n);
        }
    }
    if (wrong) return false;
    Index listed = 0;
    for (; listed < n; ++listed) {
        const Index label = index_at(labels, call.target.dtype, listed * call.target_step);
        if (label < 0) break;
        inside[label] = T(1);
    }
    // what is in the set is put where no hinge reaches
    for (Index i = 0; i < n; ++i) outside[i] = inside[i] != T(0) ? -infinity<T> : row.x[i];
    double total = 0;
    T cost[512];
    for (Index k = 0; k < listed; ++k) {
        const Index j = index_at(labels, call.target.dtype, k * call.target_step);
        const T threshold = T(1) - row.x[j];
        double active = 0;
        for (Index begin = 0; begin < n; begin += 512) {
            const Index count = n - begin < 512 ? n - begin : 512;
            const T* const x = outside + begin;
            T* const s = slope + begin;
#pragma GCC ivdep
            for (Index i = 0; i < count; ++i) {
                const T excess = threshold + x[i];
                cost[i] = excess > T(0) ? excess : T(0);
                s[i] += excess > T(0) ? T(1) : T(0);
            }
            total += sum(cost, static_cast<std::size_t>(count));
            if (row.g)
                active += sum_of(static_cast<std::size_t>(count), [&](const std::size_t i) { return T(cost[i] > T(0)); });
        }
        inside[j] += static_cast<T>(active);  // 1 more than the hinges of this class
    }
    if (row.g) {
        const T unit = row.coefficient / static_cast<T>(n);
        for (Index i = 0; i < n; ++i) row.g[i] = unit * (slope[i] - (inside[i] > T(1) ? inside[i] - T(1) : T(0)));
    }
    value = static_cast<T>(total / static_cast<double>(n));
    return true;
}

// ----- a tile of rows that lie side by side -----

template <typename T>
inline void softmax_labels(const RowwiseCall& call, Tile<T>& tile, const Side<T>& side, const T scale) {
    const Index n = call.classes, w = tile.count;
    const T* const weight = static_cast<const T*>(call.class_weight);
    const T a = static_cast<T>(1 - call.smoothing), b = static_cast<T>(call.smoothing / static_cast<double>(n));
    const T all = static_cast<T>(call.weight_sum);
    alignas(64) T greatest[TILE], lead[TILE], slope[TILE], share[TILE], on_label[TILE], below[TILE], surprisal[TILE];
    alignas(64) double others[TILE];
    for (Index i = 0; i < w; ++i) others[i] = 0, below[i] = T(0);
    greatest_of(side.x, side.x_step, n, w, greatest);
    for (Index i = 0; i < w; ++i) {
        lead[i] = side.x[tile.label[i] * side.x_step + i] - greatest[i];
    }
    T room[TILE];
    for (Index c = 0; c < n; ++c) {
        const T* const x = side.x + c * side.x_step;
        T* const e = side.g ? side.g + c * side.g_step : room;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            e[i] = exp(x[i] - greatest[i]);
            others[i] += static_cast<double>(tile.label[i] == c ? T(0) : e[i]);
        }
        if (call.smoothing > 0) {
            const T of_class = weight ? weight[c] : T(1);
            for (Index i = 0; i < w; ++i) below[i] += of_class * (greatest[i] - x[i]);
        }
    }
#pragma GCC ivdep
    for (Index i = 0; i < w; ++i) {
        const T rest = static_cast<T>(others[i] + static_cast<double>(expm1(lead[i])));
        const T log_total = log1p(rest), total = T(1) + rest;
        surprisal[i] = log_total - lead[i];
        const T coefficient = tile.factor[i] * scale, of_label = a * tile.own[i];
        const T value = of_label * surprisal[i] + (b > T(0) ? b * (all * log_total + below[i]) : T(0));
        tile.value[i] = tile.used[i] ? value * tile.factor[i] : T(0);
        slope[i] = tile.used[i] ? (of_label + b * all) * coefficient / total : T(0);
        share[i] = tile.used[i] ? b * coefficient : T(0);
        const T p = exp(-surprisal[i]);
        on_label[i] = coefficient * (of_label * expm1(-surprisal[i]) + b * all * p);
    }
    if (call.loss == RowLoss::focal_labels) {
        T* const cost = surprisal;
        T steepness[TILE];
        focused(call, w, cost, steepness);
        for (Index i = 0; i < w; ++i) {
            tile.value[i] = tile.used[i] ? tile.own[i] * cost[i] * tile.factor[i] : T(0);
            slope[i] *= steepness[i], on_label[i] *= steepness[i];
        }
    }
    if (!side.g) return;
    for (Index c = 0; c < n; ++c) {
        T* const g = side.g + c * side.g_step;
        const T of_class = weight ? weight[c] : T(1);
        if (tile.all_used) {
#pragma GCC ivdep
            for (Index i = 0; i < w; ++i) g[i] = g[i] * slope[i] - share[i] * of_class;
        } else {
            for (Index i = 0; i < w; ++i) g[i] = tile.used[i] ? g[i] * slope[i] - share[i] * of_class : T(0);
        }
    }
    for (Index i = 0; i < w; ++i) {
        if (!tile.used[i]) continue;
        const Index y = tile.label[i];
        side.g[y * side.g_step + i] = on_label[i] - share[i] * (weight ? weight[y] : T(1));
    }
}

template <typename T>
inline void softmax_probabilities(const RowwiseCall& call, Tile<T>& tile, const Side<T>& side, const T scale) {
    const Index n = call.classes, w = tile.count;
    const T* const weight = static_cast<const T*>(call.class_weight);
    const T kept = static_cast<T>(1 - call.smoothing), floor = static_cast<T>(call.smoothing / static_cast<double>(n));
    alignas(64) T greatest[TILE], log_total[TILE], coefficient[TILE], slope[TILE];
    alignas(64) double total[TILE], value[TILE], mass[TILE];
    for (Index i = 0; i < w; ++i) {
        total[i] = value[i] = mass[i] = 0;
        coefficient[i] = tile.factor[i] * scale;
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
    for (Index c = 0; c < n; ++c) {
        const T *const x = side.x + c * side.x_step, *const given = side.q + c * side.q_step;
        const T of_class = weight ? weight[c] : T(1);
        T* const q_gradient = side.q_gradient ? side.q_gradient + c * side.q_gradient_step : nullptr;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            const T cost = of_class * (log_total[i] + (greatest[i] - x[i])), q = given[i] * kept + floor;
            const bool nothing = q == T(0) && abs(cost) == infinity<T>;
            value[i] += static_cast<double>(nothing ? T(0) : q * cost);
            mass[i] += static_cast<double>(of_class * q);
            if (q_gradient) q_gradient[i] = nothing || !tile.used[i] ? T(0) : cost * kept * coefficient[i];
        }
    }
    for (Index i = 0; i < w; ++i) {
        tile.value[i] = tile.used[i] ? static_cast<T>(value[i]) * tile.factor[i] : T(0);
        slope[i] = static_cast<T>(mass[i] / total[i]);
    }
    if (!side.g) return;
    for (Index c = 0; c < n; ++c) {
        const T* const given = side.q + c * side.q_step;
        T* const g = side.g + c * side.g_step;
        const T of_class = weight ? weight[c] : T(1);
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            const T slopes = g[i] * slope[i] - of_class * (given[i] * kept + floor);
            g[i] = tile.used[i] ? slopes * coefficient[i] : T(0);
        }
    }
}

// ----- the ways through a tile -----

// Numbers of one class for all rows of a tile, or of all classes for one row.
inline void fill_zero(const Strided& tensor, char* const at, const Index step, const Index n) {
    const std::size_t bytes = size_of(tensor.dtype);
    if (step == 1) {
        __builtin_memset(at, 0, static_cast<std::size_t>(n) * bytes);
        return;
    }
    for (Index i = 0; i < n; ++i) __builtin_memset(at + i * step * static_cast<Index>(bytes), 0, bytes);
}

// Each row by itself.
template <typename T>
inline bool row_by_row(const RowwiseCall& call, Tile<T>& tile, T* const scratch) {
    const Index n = call.classes;
    T *const x = scratch, *const q = x + n, *const g = q + n, *const e = g + n, *const q_gradient = e + n;
    bool inside = true;
    for (Index i = 0; i < tile.count; ++i) {
        char* const gradient = call.gradient.data ? row_of(call.gradient, call.rows, tile, i) : nullptr;
        char* const of_target = call.target_gradient.data ? row_of(call.target_gradient, call.rows, tile, i) : nullptr;
        if (!tile.used[i]) {
            if (gradient) fill_zero(call.gradient, gradient, call.gradient_step, n);
            if (of_target) fill_zero(call.target_gradient, of_target, call.target_gradient_step, n);
            continue;
        }
        const char* const from = row_of(call.input, call.rows, tile, i);
        Row<T> row{};
        row.label = tile.label[i], row.own = tile.own[i];
        row.coefficient = tile.factor[i] * static_cast<T>(call.scale);
        const bool in_place = call.gradient.dtype == OWN<T> && call.gradient_step == 1;
        row.g = !gradient ? nullptr : in_place ? reinterpret_cast<T*>(gradient) : g;
        row.e = row.g ? row.g : e;
        if (call.input.dtype == OWN<T> && call.input_step == 1) {
            row.x = reinterpret_cast<const T*>(from);
        } else {
            load<T>(from, call.input.dtype, call.input_step, static_cast<std::size_t>(n), x);
            row.x = x;
        }
        if (of_target)
            row.q_gradient = call.target_gradient.dtype == OWN<T> && call.target_gradient_step == 1
                                 ? reinterpret_cast<T*>(of_target)
                                 : q_gradient;
        row.room = q_gradient + n;
        T value = T(0);
        if (takes_numbers(call.loss)) {
            const char* const given = row_of(call.target, call.rows, tile, i);
            if (call.target.dtype == OWN<T> && call.target_step == 1) {
                row.q = reinterpret_cast<const T*>(given);
            } else {
                load<T>(given, call.target.dtype, call.target_step, static_cast<std::size_t>(n), q);
                row.q = q;
            }
        }
        switch (call.loss) {
            case RowLoss::softmax_labels:
            case RowLoss::focal_labels: value = softmax_labels(call, row); break;
            case RowLoss::softmax_probabilities: value = softmax_probabilities(call, row); break;
            case RowLoss::distillation: value = distillation<T>(call, row); break;
            case RowLoss::focal_probabilities: value = focal_probabilities(call, row); break;
            case RowLoss::margin_to_label: value = margin_to_label(call, row); break;
            case RowLoss::margins_of_set:
                row.e = e;
                // q and what follows it are free: this loss has no probabilities
                if (!margins_of_set(call, row, row_of(call.target, call.rows, tile, i), e + n, value)) inside = false;
                break;
            case RowLoss::pick: break;
        }
        tile.value[i] = value * tile.factor[i];
        if (row.g == g && gradient)
            store(g, gradient, call.gradient.dtype, call.gradient_step, static_cast<std::size_t>(n));
        if (of_target && row.q_gradient == q_gradient)
            store(q_gradient, of_target, call.target_gradient.dtype, call.target_gradient_step,
                  static_cast<std::size_t>(n));
    }
    return inside;
}

// One entry of each row; the rest of the gradient is 0.
template <typename T>
inline void pick(const RowwiseCall& call, Tile<T>& tile) {
    const int inner = call.rows.dims - 1;
    const bool side_by_side = call.gradient.data && call.gradient_step != 1 && call.gradient.stride[inner] == 1;
    const bool in_one_run = call.gradient.data && call.gradient_step == 1 && call.gradient.stride[inner] == call.classes;
    if (side_by_side) {
        char* const at = row_of(call.gradient, call.rows, tile, 0);
        const Index step = call.gradient_step * static_cast<Index>(size_of(call.gradient.dtype));
        for (Index c = 0; c < call.classes; ++c) fill_zero(call.gradient, at + c * step, 1, tile.count);
    } else if (in_one_run) {
        fill_zero(call.gradient, row_of(call.gradient, call.rows, tile, 0), 1, tile.count * call.classes);
    }
    for (Index i = 0; i < tile.count; ++i) {
        char* const gradient = call.gradient.data ? row_of(call.gradient, call.rows, tile, i) : nullptr;
        if (gradient && !side_by_side && !in_one_run) fill_zero(call.gradient, gradient, call.gradient_step, call.classes);
        if (!tile.used[i]) continue;
        const Index y = tile.label[i];
        const T x = load_one<T>(row_of(call.input, call.rows, tile, i), call.input.dtype, y * call.input_step);
        tile.value[i] = -tile.own[i] * x * tile.factor[i];
        if (!gradient) continue;
        const T slope = -tile.own[i] * tile.factor[i] * static_cast<T>(call.scale);
        store(&slope, gradient + y * call.gradient_step * static_cast<Index>(size_of(call.gradient.dtype)),
              call.gradient.dtype, 1, 1);
    }
}

// A tensor's tile as [class][row] in the compute type: where it lies, if it lies so, else in the scratch.
template <typename T>
inline const T* side_by_side(const RowwiseCall& call, const Tile<T>& tile, const Strided& tensor, const Index step,
                             T* const scratch, Index& scratch_step) {
    const int inner = call.rows.dims - 1;
    const Index n = call.classes, bytes = static_cast<Index>(size_of(tensor.dtype));
    const char* const from = row_of(tensor, call.rows, tile, 0);
    if (step == 1 && n > 1 && n <= FEW_CLASSES) {
        T row[FEW_CLASSES];
        for (Index i = 0; i < tile.count; ++i) {
            if (!tile.used[i]) {
                for (Index c = 0; c < n; ++c) scratch[c * TILE + i] = T(0);
                continue;
            }
            const char* const at = from + i * tensor.stride[inner] * bytes;
            const T* values = reinterpret_cast<const T*>(at);
            if (tensor.dtype != OWN<T>) {
                load<T>(at, tensor.dtype, 1, static_cast<std::size_t>(n), row);
                values = row;
            }
            for (Index c = 0; c < n; ++c) scratch[c * TILE + i] = values[c];
        }
    } else if (tensor.dtype == OWN<T> && tensor.stride[inner] == 1 && tile.all_used) {
        scratch_step = step;
        return reinterpret_cast<const T*>(from);
    } else {
        for (Index c = 0; c < n; ++c) {
            T* const to = scratch + c * TILE;
            load<T>(from + c * step * bytes, tensor.dtype, tensor.stride[inner], static_cast<std::size_t>(tile.count), to);
            // what is not used may hold anything
            for (Index i = 0; i < tile.count; ++i) to[i] = tile.used[i] ? to[i] : T(0);
        }
    }
    scratch_step = TILE;
    return scratch;
}

// Where a gradient's tile is to be written as [class][row].
template <typename T>
inline T* place_of(const RowwiseCall& call, const Tile<T>& tile, const Strided& tensor, const Index step,
                   T* const scratch, Index& scratch_step) {
    if (!tensor.data) return nullptr;
    if (tensor.dtype == OWN<T> && step != 1 && tensor.stride[call.rows.dims - 1] == 1) {
        scratch_step = step;
        return reinterpret_cast<T*>(row_of(tensor, call.rows, tile, 0));
    }
    scratch_step = TILE;
    return scratch;
}

template <typename T>
inline void put_back(const RowwiseCall& call, const Tile<T>& tile, const Strided& tensor, const Index step,
                     const T* const scratch) {
    const int inner = call.rows.dims - 1;
    const Index n = call.classes, bytes = static_cast<Index>(size_of(tensor.dtype));
    char* const to = row_of(tensor, call.rows, tile, 0);
    if (step == 1 && n > 1 && n <= FEW_CLASSES) {
        T row[FEW_CLASSES];
        for (Index i = 0; i < tile.count; ++i) {
            char* const at = to + i * tensor.stride[inner] * bytes;
            T* const values = tensor.dtype == OWN<T> ? reinterpret_cast<T*>(at) : row;
            for (Index c = 0; c < n; ++c) values[c] = scratch[c * TILE + i];
            if (values == row) store(row, at, tensor.dtype, 1, static_cast<std::size_t>(n));
        }
        return;
    }
    for (Index c = 0; c < n; ++c)
        store(scratch + c * TILE, to + c * step * bytes, tensor.dtype, tensor.stride[inner],
              static_cast<std::size_t>(tile.count));
}

template <typename T>
inline void across_rows(const RowwiseCall& call, Tile<T>& tile, T* const scratch) {
    const Index room = call.classes * TILE;
    Side<T> side{};
    side.x = side_by_side(call, tile, call.input, call.input_step, scratch, side.x_step);
    side.g = place_of(call, tile, call.gradient, call.gradient_step, scratch + room, side.g_step);
    if (takes_labels(call.loss)) {
        softmax_labels(call, tile, side, static_cast<T>(call.scale));
    } else {
        side.q = side_by_side(call, tile, call.target, call.target_step, scratch + 2 * room, side.q_step);
        side.q_gradient = place_of(call, tile, call.target_gradient, call.target_gradient_step, scratch + 3 * room,
                                   side.q_gradient_step);
        side.room = scratch + 4 * room;
        if (call.loss == RowLoss::distillation) {
            distillation<T>(call, tile, side, static_cast<T>(call.scale));
        } else if (call.loss == RowLoss::focal_probabilities) {
            focal_probabilities(call, tile, side, static_cast<T>(call.scale));
        } else {
            softmax_probabilities(call, tile, side, static_cast<T>(call.scale));
        }
        if (side.q_gradient == scratch + 3 * room)
            put_back(call, tile, call.target_gradient, call.target_gradient_step, side.q_gradient);
    }
    if (side.g == scratch + room) put_back(call, tile, call.gradient, call.gradient_step, side.g);
}

template <typename T>
inline void run_piece(const RowwiseCall& call, const Index piece) {
    T* const scratch = reinterpret_cast<T*>(call.scratch + omp_get_thread_num() * call.scratch_bytes);
    const Index each = rows_of_piece(call), stop = (piece + 1) * each;
    const Index end = stop < call.rows.count ? stop : call.rows.count;
    const bool across = runs_across(call);
    Tile<T> tile;
    RowPartial partial;
    for (Index begin = piece * each; begin < end; begin += tile.count) {
        if (!prepare(call, begin, end, tile)) partial.outside = true;
        if (call.loss == RowLoss::pick) {
            pick(call, tile);
        } else if (across && tile.any_used) {
            across_rows(call, tile, scratch);
        } else if (!row_by_row(call, tile, scratch)) {
            partial.outside = true;
        }
        if (call.value.data) {
            store(tile.value, row_of(call.value, call.rows, tile, 0), call.value.dtype,
                  call.value.stride[call.rows.dims - 1], static_cast<std::size_t>(tile.count));
        } else {
            partial.total += sum(tile.value, static_cast<std::size_t>(tile.count));
        }
    }
    call.partials[piece] = partial;
}

template <typename T>
inline void weigh_piece(const RowwiseCall& call, const Index piece) {
    const Index each = rows_of_piece(call), stop = (piece + 1) * each;
    const Index end = stop < call.rows.count ? stop : call.rows.count;
    Tile<T> tile;
    RowPartial partial;
    for (Index begin = piece * each; begin < end; begin += tile.count) {
        if (!prepare(call, begin, end, tile)) partial.outside = true;
        for (Index i = 0; i < tile.count; ++i)
            if (tile.used[i]) partial.total += static_cast<double>(tile.own[i]) * static_cast<double>(tile.factor[i]);
    }
    call.partials[piece] = partial;
}

static void run(const RowwiseCall& call) {
    in_parallel(pieces_of(call), call.threads, [&](const Index piece) {
        call.wide ? run_piece<double>(call, piece) : run_piece<float>(call, piece);
    });
}

static void weigh(const RowwiseCall& call) {
    in_parallel(pieces_of(call), call.threads, [&](const Index piece) {
        call.wide ? weigh_piece<double>(call, piece) : weigh_piece<float>(call, piece);
    });
}

extern const RowwiseKernels rowwise_kernels;
const RowwiseKernels rowwise_kernels = {run, weigh};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
