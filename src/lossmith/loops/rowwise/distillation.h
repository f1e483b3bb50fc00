// Distillation: how far the softened softmaxes of a student (the input) and of a teacher (the target) are apart, mixed
// with the student's cross-entropy against a label.
#pragma once

#include "rows.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

// exp(-x) - 1 + x for |x| < 0.41, with its relative accuracy.
template <typename T>
[[gnu::always_inline]] inline T excess(const T x) {
    return x * x * detail::polynomial(detail::Of<T>::expm1, -x);
}

// What a class adds to the divergence, and its probabilities times the divergence's derivatives in them. With S the sum
// of the student's over the classes, the derivative in a logit of the student is student - p S, and so for the teacher.
template <typename T>
struct Terms {
    T value, student, teacher;
};

// Of u log(u / v), whose sum is that of u log(u / v) - u + v: no term of it is negative, so nothing cancels where u is
// nearly v, and an error in the sums that both were divided by counts squared.
template <typename T>
[[gnu::always_inline]] inline T term_of(const T u, const T v, const T log_ratio) {
    const T far = v - u + u * log_ratio;
    return where(u == T(0), v, where(abs(log_ratio) < T(0.4), u * excess(log_ratio), far));
}

// Of the probabilities q of the teacher and p of the student, with the logarithm of q / p.
template <Divergence D, typename T>
[[gnu::always_inline]] inline Terms<T> terms_of(const T q, const T p, const T log_ratio, const T beta) {
    // 0 times infinity is 0: what can't happen costs nothing
    const auto times = [](const T x, const T y) { return where(x == T(0), T(0), x * y); };
    if constexpr (D == Divergence::forward) {
        return {term_of(q, p, log_ratio), -q, times(q, log_ratio)};
    } else if constexpr (D == Divergence::reverse) {
        return {term_of(p, q, -log_ratio), -times(p, log_ratio), -p};
    } else {
        // with the mixture m = beta q + (1 - beta) p, the logarithms of q / m and p / m; exp of what is not positive
        const bool above = log_ratio > T(0);
        const T rest = T(1) - beta;
        const T log_greater = -log1p(where(above, rest, beta) * expm1(-abs(log_ratio)));
        const T of_teacher = where(above, log_greater, log_greater + log_ratio);
        const T of_student = where(above, log_greater - log_ratio, log_greater);
        const T teacher = beta * times(q, of_teacher), student = rest * times(p, of_student);
        const T near = beta * (q * excess(of_teacher)) + rest * (p * excess(of_student));
        return {where(abs(log_ratio) < T(0.4), near, teacher + student), student, teacher};
    }
}

// Classes of a row that are worked on at once.
inline constexpr Index PART = 512;

// exp((x - greatest) / temperature) into e, and the sum of it.
template <typename T>
inline double softened(const T* const x, const Index n, const T greatest, const T coldness, T* const e) {
    double total = 0;
    for (Index begin = 0; begin < n; begin += PART) {
        const Index count = n - begin < PART ? n - begin : PART;
        const T* const from = x + begin;
        T* const to = e + begin;
#pragma GCC ivdep
        for (Index i = 0; i < count; ++i) to[i] = exp((from[i] - greatest) * coldness);
        total += sum(to, static_cast<std::size_t>(count));
    }
    return total;
}

template <Divergence D, typename T>
inline T distillation(const RowwiseCall& call, const Row<T>& row) {
    const Index n = call.classes, y = row.label;
    const Distillation& how = call.distillation;
    const T *const s = row.x, *const t = row.q;
    T *const of_student = row.room, *const of_teacher = of_student + n, *const of_labels = of_teacher + n;
    const T coldness = static_cast<T>(1 / how.temperature), beta = static_cast<T>(how.beta);
    const T greatest = greatest_of(s, n), greatest_taught = greatest_of(t, n), shift = greatest_taught - greatest;
    const double total = softened(s, n, greatest, coldness, of_student);
    const double total_taught = softened(t, n, greatest_taught, coldness, of_teacher);
    const T share = static_cast<T>(1 / total), share_taught = static_cast<T>(1 / total_taught);
    const T offset = static_cast<T>(log(total_taught / total));
    double divergence = 0, student = 0, teacher = 0;
    for (Index begin = 0; begin < n; begin += PART) {
        const Index count = n - begin < PART ? n - begin : PART;
        // where the gradients will stand, if they are wanted
        T value[PART], room[2][PART];
        T* const pull = row.g ? row.g + begin : room[0];
        T* const pull_taught = row.q_gradient ? row.q_gradient + begin : room[1];
        const T *const from = s + begin, *const taught = t + begin, *const e = of_student + begin;
        const T* const e_taught = of_teacher + begin;
#pragma GCC ivdep
        for (Index i = 0; i < count; ++i) {
            // from a difference of logits, which is exact where they are near
            const T log_ratio = ((taught[i] - from[i]) - shift) * coldness - offset;
            const Terms<T> at = terms_of<D>(e_taught[i] * share_taught, e[i] * share, log_ratio, beta);
            value[i] = at.value, pull[i] = at.student, pull_taught[i] = at.teacher;
        }
        divergence += sum(value, static_cast<std::size_t>(count));
        student += sum(pull, static_cast<std::size_t>(count));
        teacher += sum(pull_taught, static_cast<std::size_t>(count));
    }
    const double soft = how.alpha * how.temperature;
    double value = how.alpha > 0 ? soft * how.temperature * divergence : 0;

    const bool labelled = call.labels.data && how.alpha < 1;
    const double hard = (1 - how.alpha) * static_cast<double>(row.own);
    double surprisal = 0, total_of_labels = 1;
    if (labelled) {
        const double lead = static_cast<double>(s[y] - greatest);
        const double rest = exponentials(s, n, greatest, of_labels, y) + expm1(lead);
        surprisal = log1p(rest) - lead, total_of_labels = 1 + rest;
        value += hard * surprisal;
    }
    const T slope = static_cast<T>(soft) * row.coefficient;
    if (row.q_gradient) {
        const T centre = static_cast<T>(teacher) * share_taught;
        T* const g = row.q_gradient;
#pragma GCC ivdep
        for (Index i = 0; i < n; ++i) g[i] = (g[i] - of_teacher[i] * centre) * slope;
    }
    if (row.g) {
        const T centre = static_cast<T>(student) * share, c = row.coefficient;
        T* const g = row.g;
#pragma GCC ivdep
        for (Index i = 0; i < n; ++i) g[i] = (g[i] - of_student[i] * centre) * slope;
        if (labelled) {
            const T hard_slope = static_cast<T>(hard / total_of_labels) * c;
#pragma GCC ivdep
            for (Index i = 0; i < n; ++i) g[i] += of_labels[i] * hard_slope;
            g[y] += static_cast<T>(hard * expm1(-surprisal)) * c;
        }
    }
    return static_cast<T>(value);
}

template <Divergence D, typename T>
inline void distillation(const RowwiseCall& call, Tile<T>& tile, const Side<T>& side, const T scale) {
    const Index n = call.classes, w = tile.count, whole = n * TILE;
    const Distillation& how = call.distillation;
    const bool labelled = call.labels.data && how.alpha < 1;
    T *const of_student = side.room, *const of_teacher = of_student + whole, *const of_labels = of_teacher + whole;
    const T coldness = static_cast<T>(1 / how.temperature), beta = static_cast<T>(how.beta);
    const T soft = static_cast<T>(how.alpha * how.temperature), hard = static_cast<T>(1 - how.alpha);
    const T soft_value = static_cast<T>(how.alpha * how.temperature * how.temperature);
    alignas(64) T greatest[TILE], greatest_taught[TILE], share[TILE], share_taught[TILE], shift[TILE], offset[TILE];
    alignas(64) T centre[TILE], centre_taught[TILE], upstream[TILE], slope[TILE], hard_slope[TILE], on_label[TILE];
    alignas(64) double total[TILE], total_taught[TILE], others[TILE], value[TILE], student[TILE], teacher[TILE];
    for (Index i = 0; i < w; ++i) total[i] = total_taught[i] = others[i] = value[i] = student[i] = teacher[i] = 0;
    greatest_of(side.x, side.x_step, n, w, greatest);
    greatest_of(side.q, side.q_step, n, w, greatest_taught);
    for (Index c = 0; c < n; ++c) {
        const T *const s = side.x + c * side.x_step, *const t = side.q + c * side.q_step;
        T *const e = of_student + c * TILE, *const e_taught = of_teacher + c * TILE;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            e[i] = exp((s[i] - greatest[i]) * coldness);
            total[i] += static_cast<double>(e[i]);
        }
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            e_taught[i] = exp((t[i] - greatest_taught[i]) * coldness);
            total_taught[i] += static_cast<double>(e_taught[i]);
        }
        if (!labelled) continue;
        T* const e_label = of_labels + c * TILE;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) e_label[i] = exp(s[i] - greatest[i]);
    }
    if (labelled) {
        for (Index i = 0; i < w; ++i) of_labels[tile.label[i] * TILE + i] = T(0);
        for (Index c = 0; c < n; ++c) {
            const T* const e_label = of_labels + c * TILE;
#pragma GCC ivdep
            for (Index i = 0; i < w; ++i) others[i] += static_cast<double>(e_label[i]);
        }
    }
    for (Index i = 0; i < w; ++i) {
        share[i] = static_cast<T>(1 / total[i]), share_taught[i] = static_cast<T>(1 / total_taught[i]);
        shift[i] = greatest_taught[i] - greatest[i];
        total[i] = total_taught[i] / total[i];
        upstream[i] = tile.used[i] ? tile.factor[i] * scale : T(0);
        slope[i] = soft * upstream[i];
    }
#pragma GCC ivdep
    for (Index i = 0; i < w; ++i) offset[i] = static_cast<T>(log(total[i]));
    T room[2][TILE];
    for (Index c = 0; c < n; ++c) {
        const T *const s = side.x + c * side.x_step, *const t = side.q + c * side.q_step;
        const T *const e = of_student + c * TILE, *const e_taught = of_teacher + c * TILE;
        T* const pull = side.g ? side.g + c * side.g_step : room[0];
        T* const pull_taught = side.q_gradient ? side.q_gradient + c * side.q_gradient_step : room[1];
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            const T log_ratio = ((t[i] - s[i]) - shift[i]) * coldness - offset[i];
            const Terms<T> at = terms_of<D>(e_taught[i] * share_taught[i], e[i] * share[i], log_ratio, beta);
            pull[i] = at.student, pull_taught[i] = at.teacher;
            value[i] += static_cast<double>(at.value);
            student[i] += static_cast<double>(at.student);
            teacher[i] += static_cast<double>(at.teacher);
        }
    }
#pragma GCC ivdep
    for (Index i = 0; i < w; ++i) {
        centre[i] = static_cast<T>(student[i]) * share[i];
        centre_taught[i] = static_cast<T>(teacher[i]) * share_taught[i];
        tile.value[i] = how.alpha > 0 ? soft_value * static_cast<T>(value[i]) : T(0);
    }
    if (labelled) {
        T lead[TILE];
        for (Index i = 0; i < w; ++i) lead[i] = side.x[tile.label[i] * side.x_step + i] - greatest[i];
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            const T rest = static_cast<T>(others[i] + static_cast<double>(expm1(lead[i])));
            const T surprisal = log1p(rest) - lead[i], of_label = hard * tile.own[i];
            tile.value[i] += of_label * surprisal;
            hard_slope[i] = of_label * upstream[i] / (T(1) + rest);
            on_label[i] = of_label * upstream[i] * expm1(-surprisal);
        }
    }
    for (Index i = 0; i < w; ++i) tile.value[i] = tile.used[i] ? tile.value[i] * tile.factor[i] : T(0);
    for (Index c = 0; c < n && side.q_gradient; ++c) {
        T* const g = side.q_gradient + c * side.q_gradient_step;
        const T* const e = of_teacher + c * TILE;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) g[i] = (g[i] - e[i] * centre_taught[i]) * slope[i];
    }
    for (Index c = 0; c < n && side.g; ++c) {
        T* const g = side.g + c * side.g_step;
        const T *const e = of_student + c * TILE, *const e_label = of_labels + c * TILE;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) g[i] = (g[i] - e[i] * centre[i]) * slope[i];
        if (!labelled) continue;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) g[i] += e_label[i] * hard_slope[i];
    }
    for (Index i = 0; i < w && labelled && side.g; ++i)
        if (tile.used[i]) side.g[tile.label[i] * side.g_step + i] += on_label[i];
}

// The divergence that a call asks for; `rest` are the arguments of either form.
template <typename T, typename... Rest>
inline auto distillation(const RowwiseCall& call, Rest&&... rest) {
    switch (call.distillation.divergence) {
        case Divergence::forward: return distillation<Divergence::forward, T>(call, rest...);
        case Divergence::reverse: return distillation<Divergence::reverse, T>(call, rest...);
        default: return distillation<Divergence::js, T>(call, rest...);
    }
}

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
