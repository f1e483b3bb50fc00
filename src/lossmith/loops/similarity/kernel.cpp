// Losses over rows of similarities, a tile of rows at a time, in place.
//
// Of a row the positives are few and known by their columns: they are set aside, and all that remains are negatives,
// which one vectorised loop runs over. Exponentials are kept where the gradient will stand.
#include "kernel.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "lossmith/formula/vocabularies/cpp.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {
namespace {

using Index = std::int64_t;

// log(exp(x) + exp(y)).
inline double log_of_sum(const double x, const double y) {
    const double high = x > y ? x : y;
    if (high == -infinity<double>) return high;
    return high + std::log1p(std::exp((x > y ? y : x) - high));
}

// ----- the greatest of a row, and the sum of its exponentials -----

template <typename T>
inline double greatest_of(const T* const x, const std::size_t n) {
    constexpr std::size_t LANES = 64;
    T lane[LANES];
    for (std::size_t j = 0; j < LANES; ++j) lane[j] = -infinity<T>;
    std::size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (std::size_t j = 0; j < LANES; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (std::size_t j = 0; i + j < n; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    T top = lane[0];
    for (std::size_t j = 1; j < LANES; ++j) top = lane[j] > top ? lane[j] : top;
    return static_cast<double>(top);
}

// ----- what a positive's cosine becomes -----

struct Shifted {
    double cosine, slope;
};

inline Shifted shifted(const SimilarityCall& call, const double cosine) {
    if (call.margin_kind == CosineMargin::none) return {cosine, 1};
    if (call.margin_kind == CosineMargin::added) return {cosine - call.margin, 1};
    // cos(angle + margin), up to the angle where that begins to rise again; from there a line
    const double within = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
    const double turn = call.easy ? 0 : std::cos(M_PI - call.margin);
    if (!(within > turn)) return {call.easy ? cosine : cosine - call.margin * std::sin(call.margin), 1};
    // at the pole the angle has no derivative; there the sine counts as a constant
    const double square = (1 - within) * (1 + within), sine = std::sqrt(square);
    const double bend = square > 1e-12 ? within / sine * std::sin(call.margin) : 0;
    return {within * std::cos(call.margin) - sine * std::sin(call.margin),
            within == cosine ? std::cos(call.margin) + bend : 0};
}

// ----- one row -----

struct Positive {
    Index column;
    double logit, slope;
};

template <typename T>
class Row {
   public:
    Row(const SimilarityCall& call, const Index number, T* const x, std::vector<Positive>& positives)
        : call(call), x(x), n(static_cast<std::size_t>(call.columns)), row(call.start + number), positives(positives) {}

    // Sets positives aside and takes out what is no negative.
    void sort_out() {
        positives.clear();
        const Index own = call.own ? call.own[row] : -1;
        if (call.match && call.match[row] != own) add(call.match[row]);
        if (call.order) {
            for (Index i = call.first[row]; i < call.last[row]; ++i) {
                const Index column = call.order[i];
                if (column == own) continue;
                if (!call.match)
                    add(column);
                else if (column != call.match[row])
                    x[column] = -infinity<T>;
            }
        }
        if (own >= 0) x[own] = -infinity<T>;
        for (Index i = 0; i < call.hidden_count; ++i) x[call.hidden[i]] = -infinity<T>;
        for (Positive& positive : positives) x[positive.column] = -infinity<T>;
    }

    double run() {
        switch (call.loss) {
            case SimilarityLoss::pairs: return pairs();
            case SimilarityLoss::supcon_out: return supcon(false);
            case SimilarityLoss::supcon_in: return supcon(true);
            case SimilarityLoss::sigmoid: return sigmoids();
        }
        return 0;
    }

   private:
    void add(const Index column) {
        const Shifted of = shifted(call, static_cast<double>(x[column]));
        positives.push_back({column, call.scale * of.cosine, of.slope});
    }

    // The logarithm of the negatives' sum; their exponentials over the greatest stay in the row.
    double sum_up() {
        const double peak = greatest_of<T>(x, n) * call.scale;
        if (peak == -infinity<double>) {
            // none, or none but NaN
            const double sum = sum_of(n, [&](const std::size_t i) { return x[i] == -infinity<T> ? T(0) : x[i]; });
            std::fill(x, x + n, T(0));
            total = 1;
            return sum != sum ? sum : peak;
        }
        const T scale = static_cast<T>(call.scale), top = static_cast<T>(peak);
        total = sum_of(n, [&](const std::size_t i) { return x[i] = exp(x[i] * scale - top); });
        return static_cast<double>(top) + std::log(total);
    }

    // Every exponential times a factor; the share of the sum that it is of.
    void scale_negatives(const double factor) {
        const T by = static_cast<T>(factor / total);
        for (std::size_t i = 0; i < n; ++i) x[i] *= by;
    }

    void put(const Positive& positive, const double derivative) {
        x[positive.column] = static_cast<T>(derivative * positive.slope * factor());
    }

    // of the derivative in the similarity
    double factor() const { return call.factor[row] * call.scale; }

    void tell_slope(const double slope) const {
        if (call.slopes) call.slopes[row] = slope * call.factor[row];
    }

    double pairs() {
        const double log_sum = sum_up();
        double loss = 0, pull = 0;
        for (const Positive& positive : positives) {
            loss += softplus(log_sum - positive.logit);
            pull += sigmoid(log_sum - positive.logit);
        }
        if (!call.factor) return loss;
        scale_negatives(pull * factor());
        for (const Positive& positive : positives) put(positive, -sigmoid(log_sum - positive.logit));
        tell_slope(0);
        return loss;
    }

    double supcon(const bool inside) {
        const double log_sum = sum_up();
        if (positives.empty()) {
            if (call.factor) scale_negatives(0), tell_slope(0);
            return 0;
        }
        double log_positives = -infinity<double>, mean = 0;
        const double share = 1 / static_cast<double>(positives.size());
        for (const Positive& positive : positives) {
            log_positives = log_of_sum(log_positives, positive.logit);
            mean += positive.logit * share;
        }
        const double log_all = log_of_sum(log_sum, log_positives);
        double loss = log_all - mean;
        if (positives.size() == 1)
            loss = softplus(log_sum - positives[0].logit);
        else if (inside)
            loss = softplus(log_sum - log_positives) - std::log(share);
        if (!call.factor) return loss;
        scale_negatives(std::exp(log_sum - log_all) * factor());
        for (const Positive& positive : positives) {
            const double wished = inside ? std::exp(positive.logit - log_positives) : share;
            put(positive, positives.size() == 1 ? -sigmoid(log_sum - positive.logit)
                                                : std::exp(positive.logit - log_all) - wished);
        }
        tell_slope(0);
        return loss;
    }

    double sigmoids() {
        const T scale = static_cast<T>(call.scale), bias = static_cast<T>(call.bias);
        double loss = sum_of(n, [&](const std::size_t i) { return softplus(x[i] * scale + bias); });
        for (const Positive& positive : positives) loss += softplus(-(positive.logit + call.bias));
        if (!call.factor) return loss;
        double slope = sum_of(n, [&](const std::size_t i) { return x[i] = sigmoid(x[i] * scale + bias); });
        const T by = static_cast<T>(factor());
        for (std::size_t i = 0; i < n; ++i) x[i] *= by;
        for (const Positive& positive : positives) {
            const double derivative = -sigmoid(-(positive.logit + call.bias));
            slope += derivative;
            put(positive, derivative);
        }
        tell_slope(slope);
        return loss;
    }

    const SimilarityCall& call;
    T* const x;
    const std::size_t n;
    const Index row;
    std::vector<Positive>& positives;
    double total = 1;
};

template <typename T>
void run_rows(const SimilarityCall& call) {
    in_parallel(call.rows, call.threads, [&](const Index i) {
        T* const x = static_cast<T*>(call.tile) + i * call.columns;
        const Index row = call.start + i;
        if (call.kept && !call.kept[row]) {
            if (call.factor) std::fill(x, x + call.columns, T(0));
            if (call.slopes) call.slopes[row] = 0;
            call.losses[row] = 0;
            return;
        }
        static thread_local std::vector<Positive> positives;
        Row<T> of(call, i, x, positives);
        of.sort_out();
        call.losses[row] = of.run();
    });
}

void rows(const SimilarityCall& call) { call.wide ? run_rows<double>(call) : run_rows<float>(call); }

// ----- both directions -----

// Columns of which each piece is one thread's.
constexpr Index STRIP = 256;

// What is no negative of row i, whose positive is column i.
template <typename T>
void take_out(const SimilarityCall& call, const Index i, T* const x) {
    const Index row = call.start + i;
    if (call.order)
        for (Index k = call.first[row]; k < call.last[row]; ++k) x[call.order[k]] = -infinity<T>;
    for (Index k = 0; k < call.hidden_count; ++k) x[call.hidden[k]] = -infinity<T>;
    x[row] = -infinity<T>;
}

template <typename T>
void run_sums(const SimilarityCall& call) {
    T* const tile = static_cast<T*>(call.tile);
    const std::size_t n = static_cast<std::size_t>(call.columns);
    const T scale = static_cast<T>(call.scale);
    in_parallel(call.rows, call.threads, [&](const Index i) {
        T* const x = tile + i * call.columns;
        const Index row = call.start + i;
        call.losses[row] = static_cast<double>(x[row]) * call.scale;  // the positive's logit
        if (call.kept && !call.kept[row]) {
            std::fill(x, x + n, -infinity<T>);
            call.row_log[row] = -infinity<double>;
            return;
        }
        take_out(call, i, x);
        const T top = static_cast<T>(greatest_of<T>(x, n) * call.scale);
        const T safe = top == -infinity<T> ? T(0) : top;
        const double sum = sum_of(n, [&](const std::size_t k) { return exp(x[k] * scale - safe); });
        call.row_log[row] = static_cast<double>(safe) + std::log(sum);
    });
    const Index strips = (call.columns + STRIP - 1) / STRIP;
    in_parallel(strips, call.threads, [&](const Index strip) {
        const Index begin = strip * STRIP;
        const std::size_t width = static_cast<std::size_t>(std::min(STRIP, call.columns - begin));
        T top[STRIP];
        double sum[STRIP];
        for (std::size_t k = 0; k < width; ++k) top[k] = static_cast<T>(call.column_top[static_cast<std::size_t>(begin) + k]);
        for (Index i = 0; i < call.rows; ++i) {
            const T* const x = tile + i * call.columns + begin;
            for (std::size_t k = 0; k < width; ++k) top[k] = x[k] * scale > top[k] ? x[k] * scale : top[k];
        }
        for (std::size_t k = 0; k < width; ++k) {
            const std::size_t column = static_cast<std::size_t>(begin) + k;
            const double before = call.column_top[column];
            sum[k] = before == -infinity<double> ? 0 : call.column_sum[column] * std::exp(before - static_cast<double>(top[k]));
            call.column_top[column] = static_cast<double>(top[k]);
            if (top[k] == -infinity<T>) top[k] = T(0);
        }
        for (Index i = 0; i < call.rows; ++i) {
            const T* const x = tile + i * call.columns + begin;
            for (std::size_t k = 0; k < width; ++k) sum[k] += static_cast<double>(exp(x[k] * scale - top[k]));
        }
        for (std::size_t k = 0; k < width; ++k) call.column_sum[static_cast<std::size_t>(begin) + k] = sum[k];
    });
}

template <typename T>
void run_derivatives(const SimilarityCall& call) {
    const std::size_t n = static_cast<std::size_t>(call.columns);
    const T scale = static_cast<T>(call.scale);
    in_parallel(call.rows, call.threads, [&](const Index i) {
        T* const x = static_cast<T*>(call.tile) + i * call.columns;
        const Index row = call.start + i;
        if (call.kept && !call.kept[row]) {
            std::fill(x, x + n, T(0));
            return;
        }
        const double positive = static_cast<double>(x[row]) * call.scale;
        take_out(call, i, x);
        // a negative's derivative is exp(logit) (f_i / (r_i + p_i) + f_j / (c_j + p_j)) with the sums r and c
        const double own = call.row_log[row], by_row = call.factor[row] * call.scale * sigmoid(own - positive);
        const T row_log = own == -infinity<double> ? T(0) : static_cast<T>(own), row_factor = static_cast<T>(by_row);
        const T* const column_log = static_cast<const T*>(call.column_log);
        const T* const column_factor = static_cast<const T*>(call.column_factor);
        for (std::size_t k = 0; k < n; ++k) {
            const T logit = x[k] * scale;
            x[k] = exp(logit - row_log) * row_factor + exp(logit - column_log[k]) * column_factor[k];
        }
        x[row] = -row_factor - column_factor[row];
    });
}

void sums(const SimilarityCall& call) { call.wide ? run_sums<double>(call) : run_sums<float>(call); }

void derivatives(const SimilarityCall& call) {
    call.wide ? run_derivatives<double>(call) : run_derivatives<float>(call);
}

}  // namespace

extern const SimilarityKernels similarity_kernels;
const SimilarityKernels similarity_kernels = {rows, sums, derivatives};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
