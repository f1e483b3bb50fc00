// Triplets that are mined in a batch: the loss of each anchor, its gradients and the indices, without the matrix of
// distances.
//
// A chunk of anchors at a time, its distances to all samples are a tile: sums of squared differences (not squared
// lengths less a product, which cancel where vectors are near). A step for each row of the tile finds its triplets and
// leaves in their places what multiplies the differences of the vectors in the gradient; then the differences are
// summed once for the rows of the tile and once for its columns. Each sum has one thread and a fixed order.
//
// Distances of floats in a tile are floats. Where their rounding could decide which triplets there are, the distances
// in question are computed once more in double; so are those of positives and of chosen negatives.
//
// Vectors are scaled by a power of two if squares could overflow or vanish, so distances are in a unit of their own.
#include "kernel.h"

#include <cstring>
#include <limits>
#include <new>

#include "lossmith/formula/vocabularies/cpp.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {
namespace {

using Index = std::int64_t;
using Account = TripletsCall::Account;

#if defined(__AVX512F__)
constexpr Index BYTES = 64, ACROSS = 4, ALONG = 2;
#elif defined(__AVX__)
constexpr Index BYTES = 32, ACROSS = 2, ALONG = 1;
#else
constexpr Index BYTES = 16, ACROSS = 2, ALONG = 1;
#endif
// Bytes of a vector register; how many of them a tile of distances is wide, and how many a piece of a gradient is long.

constexpr Index GROUP = 4;      // rows that are computed together
constexpr Index DEPTH = 64;     // components whose squares are added before they join the sum
constexpr Index SOURCES = 256;  // vectors whose differences are taken while they are in a cache
constexpr Index TERMS = 32;     // differences that are added before they join a sum of doubles
constexpr Index LINE = 16;      // columns of a tile that are looked at together

template <typename T>
struct Register {
    typedef T V __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static constexpr Index lanes = BYTES / static_cast<Index>(sizeof(T));
    static constexpr Index columns = ACROSS * lanes;
    static constexpr Index piece = ALONG * lanes;
};

constexpr Index up(const Index n, const Index step) {
    return (n + step - 1) / step * step;
}

// Memory for numbers that nobody else sees.
template <typename N>
class Room {
   public:
    explicit Room(const Index n) : at(static_cast<N*>(::operator new(bytes(n), std::align_val_t(64)))) {}
    ~Room() { ::operator delete(at, std::align_val_t(64)); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    operator N*() const { return at; }

   private:
    static std::size_t bytes(const Index n) { return static_cast<std::size_t>(n < 1 ? 1 : n) * sizeof(N); }
    N* const at;
};

// ----- the samples -----

template <typename T>
class Samples {
    using R = Register<T>;

   public:
    explicit Samples(const TripletsCall& call)
        : normalized(call.normalize),
          rows(call.rows),
          width(call.width),
          stride(up(width, R::piece)),
          columns(up(rows, R::columns)),
          by_row(up(rows, GROUP) * stride),
          by_column(columns * width),
          inverse_of(call.normalize ? rows : 0),
          given(call.normalize ? rows * width : 0) {
        in_parallel(up(rows, GROUP), call.threads, [&](const Index i) {
            T* const row = by_row + i * stride;
            std::memset(row, 0, static_cast<std::size_t>(stride) * sizeof(T));
            if (i >= rows) return;
            const char* const from =
                call.vectors + call.place[i] * call.row_stride * static_cast<Index>(size_of(call.dtype));
            load<T>(from, call.dtype, call.inner_stride, static_cast<std::size_t>(width), row);
        });
        double top = 0;
        for (Index i = 0; i < rows; ++i) {
            const T* const row = by_row + i * stride;
            T greatest = 0, check = 0;
            for (Index k = 0; k < width; ++k) {
                const T size = abs(row[k]);
                greatest = size > greatest ? size : greatest;
                check += row[k] - row[k];
            }
            finite = finite && check == 0;
            top = static_cast<double>(greatest) > top ? static_cast<double>(greatest) : top;
        }
        if (!finite) return;
        unit = call.normalize ? 1 : unit_for(top, call);
        in_parallel(rows, call.threads, [&](const Index i) {
            T* const row = by_row + i * stride;
            if (call.normalize) {
                std::memcpy(given + i * width, row, static_cast<std::size_t>(width) * sizeof(T));
                const double scale = inverse_near(row), inverse = inverse_length(row, scale);
                inverse_of[i] = inverse;
                for (Index k = 0; k < width; ++k) row[k] = static_cast<T>(static_cast<double>(row[k]) * inverse);
            } else if (unit != 1) {
                for (Index k = 0; k < width; ++k) row[k] = static_cast<T>(static_cast<double>(row[k]) * unit);
            }
        });
        in_parallel(columns / R::columns, call.threads, [&](const Index block) {
            T* const to = by_column + block * R::columns * width;
            for (Index c = 0; c < R::columns; ++c) {
                const Index i = block * R::columns + c;
                for (Index k = 0; k < width; ++k) to[k * R::columns + c] = i < rows ? by_row[i * stride + k] : T(0);
            }
        });
    }

    // The squared distance of two samples, in double.
    double square(const Index i, const Index j) const {
        const std::size_t n = static_cast<std::size_t>(width);
        if (normalized) {
            const T *const x = given + i * width, *const y = given + j * width;
            const double a = inverse_of[i], b = inverse_of[j];
            return sum_of(n, [=](const std::size_t k) {
                const double difference = a * static_cast<double>(x[k]) - b * static_cast<double>(y[k]);
                return difference * difference;
            });
        }
        const T *const x = by_row + i * stride, *const y = by_row + j * stride;
        return sum_of(n, [=](const std::size_t k) {
            const double difference = static_cast<double>(x[k]) - static_cast<double>(y[k]);
            return difference * difference;
        });
    }

    const bool normalized;
    const Index rows, width, stride, columns;
    double unit = 1;     // what vectors are multiplied by
    bool finite = true;  // whether all numbers are

    // Components of one vector after the other, with zeros up to the stride; rows up to the next group.
    const Room<T> by_row;
    // Blocks of R::columns vectors: all first components, all second ones, ...
    const Room<T> by_column;
    // If vectors are normalised: the inverse of their lengths, and what they were.
    const Room<double> inverse_of;
    const Room<T> given;

   private:
    // A power of two by which the squares of vectors up to `top`, and the margin, are in the range of T.
    static double unit_for(const double top, const TripletsCall& call) {
        const double least = sizeof(T) == 4 ? 0x1p-20 : 0x1p-300, most = sizeof(T) == 4 ? 0x1p40 : 0x1p400;
        const double margin = call.soft ? 1 : call.margin;
        double unit = 1;
        if (top == 0) return unit;
        while (top * unit > most) unit /= 2;
        while (top * unit < least && margin * unit * (call.squared ? unit : 1) < most) unit *= 2;
        return unit;
    }

    double inverse_near(const T* const row) const {
        T greatest = 0;
        for (Index k = 0; k < width; ++k) greatest = abs(row[k]) > greatest ? abs(row[k]) : greatest;
        return greatest > 0 ? 1 / static_cast<double>(greatest) : 0;
    }

    // 1 over the length; 0 for a vector of zeros, which stays that.
    double inverse_length(const T* const row, const double scale) const {
        if (scale == 0) return 0;
        const double shares = sum_of(static_cast<std::size_t>(width), [&](const std::size_t k) {
            const double share = static_cast<double>(row[k]) * scale;
            return share * share;
        });
        return scale / sqrt(shares);
    }
};

// ----- distances -----

// Adds the squares of some components of the differences of GROUP rows and R::columns vectors to a tile.
template <typename T>
[[gnu::always_inline]] inline void add_squares(const T* const rows, const Index stride, const T* const columns,
                                               const Index depth, T* const tile, const Index tile_stride,
                                               const bool begin) {
    using R = Register<T>;
    using V = typename R::V;
    V sum[GROUP][ACROSS] = {};
    for (Index k = 0; k < depth; ++k) {
        V column[ACROSS];
#pragma GCC unroll 8
        for (Index v = 0; v < ACROSS; ++v)
            column[v] = *reinterpret_cast<const V*>(columns + k * R::columns + v * R::lanes);
#pragma GCC unroll 8
        for (Index r = 0; r < GROUP; ++r) {
            const T x = rows[r * stride + k];
#pragma GCC unroll 8
            for (Index v = 0; v < ACROSS; ++v) {
                const V difference = x - column[v];
                sum[r][v] += difference * difference;
            }
        }
    }
#pragma GCC unroll 8
    for (Index r = 0; r < GROUP; ++r)
#pragma GCC unroll 8
        for (Index v = 0; v < ACROSS; ++v) {
            V* const to = reinterpret_cast<V*>(tile + r * tile_stride + v * R::lanes);
            *to = begin ? sum[r][v] : *to + sum[r][v];
        }
}

// ----- rows of a tile -----

// splitmix64, https://prng.di.unimi.it/splitmix64.c: a number of 64 random bits for each number.
inline std::uint64_t mixed(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// A random number from 0 to 1, below 1, for a pair of samples.
inline double uniform(const std::uint64_t seed, const Index anchor, const Index positive) {
    const std::uint64_t bits =
        mixed(mixed(seed ^ static_cast<std::uint64_t>(anchor)) ^ static_cast<std::uint64_t>(positive));
    return static_cast<double>(bits >> 12) * 0x1p-52;
}

template <typename T>
class RowStep {
   public:
    RowStep(const TripletsCall& call, const Samples<T>& samples)
        : call(call),
          samples(samples),
          most(call.largest),
          ladder(ladder_for(most)),
          unit(call.squared ? samples.unit * samples.unit : samples.unit),
          margin(call.margin * unit),
          doubt(sizeof(T) == 8 ? T(0) : static_cast<T>(DEPTH + call.width / DEPTH + 8) * T(0x1p-24)),
          near(most),
          spare(most),
          keys(ladder + 1),
          sums(most + 1),
          tally(most + 1),
          best(most),
          negative(most),
          found(BLOCK),
          doubts(BLOCK),
          shares(call.miner == Miner::distance_weighted ? call.rows : 0),
          weights(call.miner == Miner::distance_weighted ? call.rows : 0) {}

    // One anchor's triplets. row: its distances' squares; then what multiplies the differences of vectors, if a gradient
    // is wanted.
    void operator()(const Index number, T* const row) {
        anchor = number;
        const Index same = call.count[anchor], others = call.rows - same;
        members = call.members + call.first[anchor];
        account = {};
        loss = 0;
        if (same < 2 || others < 1) {
            if (call.chosen) forget(same - 1);
            return finish(row, 0);
        }
        if (!call.squared)
            for (Index j = 0; j < call.rows; ++j) row[j] = sqrt(row[j]);
        positives = 0;
        for (Index q = 0; q < same; ++q) {
            const std::int32_t j = members[q];
            if (j != anchor) near[positives++] = {exact(j, row[j]), j};
            row[j] = infinity<T>;
        }
        factor = call.factor ? static_cast<T>(call.factor[anchor]) : T(1);
        switch (call.miner) {
            case Miner::batch_all: return batch_all(row, others);
            case Miner::batch_hard: batch_hard(row); break;
            case Miner::semi_hard: semi_hard(row); break;
            case Miner::distance_weighted: distance_weighted(row); break;
        }
        pairs(row);
    }

   private:
    struct Sample {
        double distance;
        std::int32_t index;
    };
    static constexpr Index BLOCK = 256;
    static constexpr std::int32_t NONE = -1;

    // A power of two above the number of positives.
    static Index ladder_for(const Index n) {
        Index power = 1;
        while (power <= n) power *= 2;
        return power;
    }

    // ----- miners: each chooses a negative for each of `near`, or none -----

    void batch_hard(const T* const row) {
        Sample farthest = near[0];
        for (Index q = 1; q < positives; ++q)
            if (near[q].distance > farthest.distance) farthest = near[q];
        near[0] = farthest;
        positives = 1;
        negative[0] = nearest(row);
    }

    // The distance to a sample in double, where the tile has floats.
    double exact(const Index j, const T rounded) const {
        if constexpr (sizeof(T) == 8) return rounded;
        const double square = samples.square(anchor, j);
        return call.squared ? square : sqrt(square);
    }

    Sample nearest(const T* const row) const {
        T least = infinity<T>;
#pragma omp simd reduction(min : least)
        for (Index j = 0; j < call.rows; ++j) least = row[j] < least ? row[j] : least;
        Sample result{infinity<double>, NONE};
        const T end = least + 2 * doubt * least;
        for (Index j = 0; j < call.rows; ++j)
            if (row[j] <= end) take_nearer(result, j, exact(j, row[j]));
        return result;
    }

    Sample farthest(const T* const row) const {
        T greatest = 0;
        for (Index j = 0; j < call.rows; ++j) greatest = row[j] > greatest && row[j] < infinity<T> ? row[j] : greatest;
        Sample result{-1, NONE};
        const T begin = greatest - 2 * doubt * greatest;
        for (Index j = 0; j < call.rows; ++j) {
            if (!(row[j] >= begin && row[j] < infinity<T>)) continue;
            const double distance = exact(j, row[j]);
            if (distance > result.distance) result = {distance, static_cast<std::int32_t>(j)};
        }
        return result;
    }

    static void take_nearer(Sample& best, const Index j, const double distance) {
        if (distance < best.distance) best = {distance, static_cast<std::int32_t>(j)};
    }

    // A negative serves all positives that are nearer than it, up to the one that the next negative is nearer to: each
    // is told to the farthest positive that it serves, and the positives tell those before them.
    void semi_hard(const T* const row) {
        sort();
        for (Index q = 0; q < positives; ++q) best[q] = {infinity<double>, NONE};
        for (Index begin = 0; begin < call.rows; begin += BLOCK) {
            const Index n = call.rows - begin < BLOCK ? call.rows - begin : BLOCK;
            const T* const distances = row + begin;
            search(row, begin, n, T(0), [](const auto key, const auto x) { return key < x; });
            for (Index j = 0; j < n; ++j) {
                if (found[j] == 0 || distances[j] == infinity<T>) continue;
                Sample& of = best[found[j] - 1];
                if (static_cast<double>(distances[j] - doubt * distances[j]) < of.distance)
                    take_nearer(of, begin + j, exact(begin + j, distances[j]));
            }
        }
        Sample next{infinity<double>, NONE}, last{0, NONE};
        if (call.every_pair) last = farthest(row);
        for (Index q = positives - 1; q >= 0; --q) {
            if (best[q].distance < next.distance) next = best[q];
            const bool serves = next.index != NONE && (call.every_pair || call.soft ||
                                                       shortfall(near[q].distance, next.distance) > 0);
            negative[q] = serves ? next : last;
        }
    }

    void distance_weighted(const T* const row) {
        const T exponent = T(2) - static_cast<T>(call.width), half = (T(3) - static_cast<T>(call.width)) / 2;
        const T inverse = static_cast<T>(1 / unit), cutoff = static_cast<T>(call.cutoff);
        const T end = static_cast<T>(call.nonzero_loss_cutoff < 2 ? call.nonzero_loss_cutoff : 2);
        T* const weight = weights;
        T top = -infinity<T>;
        for (Index j = 0; j < call.rows; ++j) {
            const T own = row[j] * inverse, distance = call.squared ? sqrt(own) : own;
            const T clipped = distance > cutoff ? distance : cutoff;
            const T level = exponent * log(clipped) + half * log1p(T(-0.25) * clipped * clipped);
            weight[j] = distance < end && clipped < T(2) ? level : -infinity<T>;
        }
#pragma omp simd reduction(max : top)
        for (Index j = 0; j < call.rows; ++j) top = weight[j] > top ? weight[j] : top;
        double total = 0;
        if (top > -infinity<T>) {
            for (Index j = 0; j < call.rows; ++j) weight[j] = exp(weight[j] - top);
            for (Index j = 0; j < call.rows; ++j) shares[j] = total += static_cast<double>(weight[j]);
        }
        for (Index q = 0; q < positives; ++q) {
            negative[q] = {0, NONE};
            if (!(total > 0)) continue;
            const double aim = uniform(call.seed, anchor, near[q].index) * total;
            Index low = 0, high = call.rows - 1;  // the first with a share above the aim
            while (low < high) {
                const Index middle = (low + high) / 2;
                if (shares[middle] > aim) high = middle;
                else low = middle + 1;
            }
            negative[q] = {exact(low, row[low]), static_cast<std::int32_t>(low)};
        }
    }

    // ----- losses -----

    double shortfall(const double positive, const double negative) const { return positive - negative + margin; }

    // The losses of the chosen triplets.
    void pairs(T* const row) {
        for (Index q = 0; q < positives; ++q) {
            const Sample p = near[q], n = negative[q];
            if (call.chosen) tell(q, p.index, n.index);
            sums[q] = 0;
            if (n.index == NONE) continue;
            account.triplets += 1;
            account.positive += p.distance;
            account.negative += n.distance;
            if (call.soft) {
                const double lead = (p.distance - n.distance) / unit;
                loss += softplus(lead);
                sums[q] = sigmoid(lead);
                account.active += 1;
            } else if (const double lacking = shortfall(p.distance, n.distance); lacking > 0) {
                loss += lacking;
                sums[q] = 1;
                account.active += 1;
            }
        }
        finish(row, call.soft ? 1 : 1 / unit);
        if (!call.gradient) return;
        for (Index q = 0; q < positives; ++q) {
            if (sums[q] == 0) continue;
            const T slope = factor * static_cast<T>(sums[q]);
            row[near[q].index] += over(slope, near[q].distance);
            row[negative[q].index] -= over(slope, negative[q].distance);
        }
    }

    // A negative costs something with the positives that are farther than it less the margin: in the order of their
    // distances these are the last ones, whose sum is known.
    void batch_all(T* const row, const Index others) {
        sort();
        double own = 0;
        sums[positives] = 0;
        for (Index q = positives - 1; q >= 0; --q) sums[q] = own += near[q].distance;
        for (Index q = 0; q <= positives; ++q) tally[q] = 0;
        constexpr T MOST = std::numeric_limits<T>::max();
        const T less = margin < static_cast<double>(MOST) ? static_cast<T>(margin) : MOST;
        double active = 0;
        for (Index begin = 0; begin < call.rows; begin += BLOCK) {
            const Index n = call.rows - begin < BLOCK ? call.rows - begin : BLOCK;
            T* const distances = row + begin;
            search(row, begin, n, less, [](const auto key, const auto x) { return key <= x; });
            for (Index j = 0; j < n; ++j) {
                const std::int32_t place = found[j];
                ++tally[place];
                const double farther = static_cast<double>(positives - place);
                if (farther == 0) continue;
                active += farther;
                loss += sums[place] + farther * (margin - static_cast<double>(distances[j]));
            }
            account.negative += sum_of(static_cast<std::size_t>(n), [&](const std::size_t j) {
                return distances[j] < infinity<T> ? distances[j] : T(0);
            });
            if (!call.gradient) continue;
            const T count = static_cast<T>(positives);
            if (call.squared) {
                for (Index j = 0; j < n; ++j) distances[j] = factor * (static_cast<T>(found[j]) - count);
            } else {
                for (Index j = 0; j < n; ++j) {
                    const T slope = factor * (static_cast<T>(found[j]) - count);
                    distances[j] = distances[j] > 0 ? slope / distances[j] : T(0);
                }
            }
        }
        // those of the class itself, which are infinitely far, and the last ones of all, cost nothing
        account.triplets = static_cast<double>(positives) * static_cast<double>(others);
        account.active = active;
        account.positive = own * static_cast<double>(others);
        account.negative *= static_cast<double>(positives);
        close(1 / unit);
        if (!call.gradient) return;
        std::int64_t pulls = 0;
        for (Index q = 0; q < positives; ++q) {
            pulls += tally[q];
            row[near[q].index] = over(factor * static_cast<T>(pulls), near[q].distance);
        }
        row[anchor] = 0;
    }

    // What multiplies the difference of two vectors in the gradient, for a slope in their distance.
    T over(const T slope, const double distance) const {
        return call.squared ? slope : distance > 0 ? slope / static_cast<T>(distance) : T(0);
    }

    void close(const double scale) {
        call.loss[anchor] = loss * scale;
        account.positive /= unit;
        account.negative /= unit;
        call.account[anchor] = account;
    }

    void finish(T* const row, const double scale) {
        close(scale);
        if (call.gradient) std::memset(row, 0, static_cast<std::size_t>(call.rows) * sizeof(T));
    }

    void tell(const Index q, const Index positive, const Index negative) const {
        std::int64_t* const to = call.chosen + call.slot[anchor] + q;
        to[0] = call.place[anchor];
        to[call.slots] = call.place[positive];
        to[2 * call.slots] = negative == NONE ? NONE : call.place[negative];
    }

    void forget(const Index pairs) const {
        const Index n = call.miner == Miner::batch_hard ? 1 : pairs;
        for (Index q = 0; q < n; ++q) tell(q, anchor, NONE);
    }

    // ----- order -----

    // Sorts `near` by distance; equal ones keep their order. From below, in runs that double.
    void sort() {
        constexpr Index RUN = 8;
        const Index n = positives;
        Sample* from = near;
        for (Index begin = 0; begin < n; begin += RUN)
            for (Index i = begin + 1; i < n && i < begin + RUN; ++i) {
                const Sample x = from[i];
                Index j = i;
                for (; j > begin && from[j - 1].distance > x.distance; --j) from[j] = from[j - 1];
                from[j] = x;
            }
        Sample* to = spare;
        for (Index run = RUN; run < n; run *= 2) {
            for (Index begin = 0; begin < n; begin += 2 * run) {
                const Index middle = begin + run < n ? begin + run : n, end = middle + run < n ? middle + run : n;
                Index left = begin, right = middle;
                for (Index k = begin; k < end; ++k)
                    to[k] = left < middle && (right >= end || from[left].distance <= from[right].distance)
                                ? from[left++]
                                : from[right++];
            }
            Sample* const done = to;
            to = from;
            from = done;
        }
        if (from != near) std::memcpy(near, from, static_cast<std::size_t>(n) * sizeof(Sample));
        // beyond both ends nothing is before, after or near a number
        constexpr T none = std::numeric_limits<T>::quiet_NaN();
        rungs = ladder_for(n);
        keys[0] = none;
        for (Index q = 0; q < rungs; ++q) keys[q + 1] = q < n ? static_cast<T>(near[q].distance) : none;
    }

    // How many of the sorted distances are before each of n distances less a margin: without a branch, many at a time;
    // and once more in double where rounding could decide.
    template <typename Before>
    [[gnu::always_inline]] void search(const T* const row, const Index begin, const Index n, const T less,
                                       const Before& before) {
        const T* const distances = row + begin;
        std::int32_t* const places = found;
        const T *const key = keys + 1, in_doubt = doubt;
        for (Index j = 0; j < n; ++j) places[j] = 0;
        for (std::int32_t step = static_cast<std::int32_t>(rungs / 2); step > 0; step /= 2)
#pragma omp simd
            for (Index j = 0; j < n; ++j)
                places[j] += before(key[places[j] + step - 1], distances[j] - less) ? step : 0;
        if constexpr (sizeof(T) == 8) return;
        std::int32_t unsure = 0;
        std::int32_t* const doubtful = doubts;
#pragma omp simd reduction(+ : unsure)
        for (Index j = 0; j < n; ++j) {
            const T x = distances[j] - less, around = in_doubt * (distances[j] + less);
            const bool near_one = key[places[j] - 1] >= x - around || key[places[j]] <= x + around;
            doubtful[j] = near_one && distances[j] < infinity<T>;
            unsure += doubtful[j];
        }
        for (Index j = 0; unsure > 0 && j < n; ++j) {
            if (!doubtful[j]) continue;
            --unsure;
            const double x = exact(begin + j, distances[j]) - (less > 0 ? margin : 0);
            std::int32_t low = 0, high = static_cast<std::int32_t>(positives);
            while (low < high) {
                const std::int32_t middle = (low + high) / 2;
                if (before(near[middle].distance, x)) low = middle + 1;
                else high = middle;
            }
            places[j] = low;
        }
    }

    const TripletsCall& call;
    const Samples<T>& samples;
    const Index most, ladder;
    const double unit, margin;  // of distances as they are compared here
    const T doubt;              // how far off a distance in the tile may be, relatively
    const Room<Sample> near, spare;
    const Room<T> keys;
    const Room<double> sums;
    const Room<std::int64_t> tally;
    const Room<Sample> best, negative;
    const Room<std::int32_t> found, doubts;
    const Room<double> shares;
    const Room<T> weights;

    const std::int32_t* members = nullptr;
    Index anchor = 0, positives = 0, rungs = 1;
    T factor = 1;
    double loss = 0;
    Account account;
};

// ----- gradients -----

// Whether any weight of a line is other than 0.
template <typename T>
[[gnu::always_inline]] inline bool any_of(const T* const line) {
    std::int32_t found = 0;
#pragma omp simd reduction(| : found)
    for (Index c = 0; c < LINE; ++c) found |= line[c] != T(0);
    return found != 0;
}

// What a group of vectors gets from others: of each source that has a weight for any of them, the weights.
template <typename T>
struct Pulls {
    Index n = 0;
    std::int32_t source[SOURCES];
    T weight[SOURCES][GROUP];

    // weight(g) of a source.
    template <typename Weight>
    [[gnu::always_inline]] void add(const Index from, const Weight& of) {
        bool any = false;
        for (Index g = 0; g < GROUP; ++g) {
            weight[n][g] = of(g);
            any = any || weight[n][g] != 0;
        }
        source[n] = static_cast<std::int32_t>(from);
        n += any;
    }

    // Adds the weighted differences of the group's vectors, which begin at `first`, to the gradients of `count` of them.
    void into(const Samples<T>& samples, const Index first, const Index count, double* const gradient) const {
        using R = Register<T>;
        using V = typename R::V;
        if (n == 0) return;
        const T* const vectors = samples.by_row;
        for (Index k = 0; k < samples.stride; k += R::piece) {
            V own[GROUP][ALONG];
#pragma GCC unroll 8
            for (Index g = 0; g < GROUP; ++g)
#pragma GCC unroll 8
                for (Index v = 0; v < ALONG; ++v)
                    own[g][v] = *reinterpret_cast<const V*>(vectors + (first + g) * samples.stride + k + v * R::lanes);
            double total[GROUP][R::piece] = {};
            for (Index begin = 0; begin < n; begin += TERMS) {
                const Index end = begin + TERMS < n ? begin + TERMS : n;
                V sum[GROUP][ALONG] = {};
                for (Index s = begin; s < end; ++s) {
                    const T* const from = vectors + source[s] * samples.stride + k;
                    V other[ALONG];
#pragma GCC unroll 8
                    for (Index v = 0; v < ALONG; ++v) other[v] = *reinterpret_cast<const V*>(from + v * R::lanes);
#pragma GCC unroll 8
                    for (Index g = 0; g < GROUP; ++g)
#pragma GCC unroll 8
                        for (Index v = 0; v < ALONG; ++v) sum[g][v] += weight[s][g] * (own[g][v] - other[v]);
                }
                T part[GROUP][R::piece];
                std::memcpy(part, sum, sizeof(part));
                for (Index g = 0; g < GROUP; ++g)
                    for (Index i = 0; i < R::piece; ++i) total[g][i] += static_cast<double>(part[g][i]);
            }
            const Index end = samples.width - k < R::piece ? samples.width - k : R::piece;
            for (Index g = 0; g < count; ++g) {
                double* const to = gradient + (first + g) * samples.width + k;
                for (Index i = 0; i < end; ++i) to[i] += total[g][i];
            }
        }
    }
};

// The gradients of vectors, from those of the scaled or normalised ones.
template <typename T>
void in_the_callers_unit(const TripletsCall& call, const Samples<T>& samples) {
    in_parallel(call.rows, call.threads, [&](const Index i) {
        double* const gradient = call.gradient + i * call.width;
        const T* const vector = samples.by_row + i * samples.stride;
        const std::size_t n = static_cast<std::size_t>(call.width);
        const double scale = call.squared ? 2 / samples.unit : 1;
        if (!call.normalize) {
            if (scale != 1)
                for (std::size_t k = 0; k < n; ++k) gradient[k] *= scale;
            return;
        }
        const double factor = scale * samples.inverse_of[i];
        const double along =
            sum_of(n, [&](const std::size_t k) { return gradient[k] * static_cast<double>(vector[k]); });
        for (std::size_t k = 0; k < n; ++k)
            gradient[k] = factor * (gradient[k] - along * static_cast<double>(vector[k]));
    });
}

// ----- the whole batch -----

template <typename T>
void run_typed(const TripletsCall& call) {
    using R = Register<T>;
    const Index rows = call.rows;
    if (call.gradient)
        std::memset(call.gradient, 0, static_cast<std::size_t>(rows * call.width) * sizeof(double));
    if (rows == 0) return;
    const Samples<T> samples(call);
    if (!samples.finite) {
        const double none = std::numeric_limits<double>::quiet_NaN();
        for (Index i = 0; i < rows; ++i) call.loss[i] = none;
        for (Index i = 0; i < rows; ++i) call.account[i] = {};
        if (call.gradient)
            for (Index i = 0; i < rows * call.width; ++i) call.gradient[i] = none;
        if (call.chosen)
            for (Index i = 0; i < 3 * call.slots; ++i) call.chosen[i] = -1;
        return;
    }
    // columns in lines of their own, which are not a power of two apart
    const Index stride = up(samples.columns, LINE) + LINE;
    constexpr Index ROOM = Index(16) << 20;
    const Index fits = ROOM / (stride * static_cast<Index>(sizeof(T))) / GROUP * GROUP;
    const Index chunk = fits < 32 ? 32 : fits > SOURCES ? SOURCES : fits;
    const Room<T> tile(chunk * stride);
    const Index lines = (rows + LINE - 1) / LINE;
    const Room<bool> pulling(lines * chunk);  // whether an anchor has a weight in a line, for one line after the other
    const int threads = call.threads;

    for (Index begin = 0; begin < rows; begin += chunk) {
        const Index anchors = rows - begin < chunk ? rows - begin : chunk, groups = (anchors + GROUP - 1) / GROUP;
        in_parallel(samples.columns / R::columns, threads, [&](const Index block) {
            const T* const columns = samples.by_column + block * R::columns * samples.width;
            for (Index k = 0; k == 0 || k < samples.width; k += DEPTH)
                for (Index g = 0; g < groups; ++g)
                    add_squares<T>(samples.by_row + (begin + g * GROUP) * samples.stride + k, samples.stride,
                                   columns + k * R::columns, samples.width - k < DEPTH ? samples.width - k : DEPTH,
                                   tile + g * GROUP * stride + block * R::columns, stride, k == 0);
        });
        // each thread has its room for the steps; which rows it takes does not matter
        const Index shares = threads < groups ? threads : groups;
        in_parallel(shares, threads, [&](const Index share) {
            RowStep<T> step(call, samples);
            for (Index i = groups * GROUP * share / shares; i < groups * GROUP * (share + 1) / shares; ++i) {
                T* const row = tile + i * stride;
                if (i < anchors) step(begin + i, row);
                if (!call.gradient) continue;
                // what fills up the last group of rows or of columns has no weight
                const Index end = i < anchors ? rows : 0;
                std::memset(row + end, 0, static_cast<std::size_t>(stride - end) * sizeof(T));
                for (Index line = 0; line < lines; ++line) pulling[line * chunk + i] = any_of(row + line * LINE);
            }
        });
        if (!call.gradient) continue;
        in_parallel(shares, threads, [&](const Index share) {
            Pulls<T> pulls;
            for (Index from = 0; from < rows; from += SOURCES)
                for (Index g = groups * share / shares; g < groups * (share + 1) / shares; ++g) {
                    const T* const weights = tile + g * GROUP * stride;
                    pulls.n = 0;
                    for (Index line = from; line < rows && line < from + SOURCES; line += LINE) {
                        const bool* const of_rows = pulling + line / LINE * chunk + g * GROUP;
                        const bool any = of_rows[0] || of_rows[1] || of_rows[2] || of_rows[3];
                        for (Index j = line; any && j < rows && j < line + LINE; ++j)
                            pulls.add(j, [&](const Index r) { return weights[r * stride + j]; });
                    }
                    const Index first = begin + g * GROUP;
                    pulls.into(samples, first, rows - first < GROUP ? rows - first : GROUP, call.gradient);
                }
        });
        in_parallel(lines, threads, [&](const Index line) {
            Index source[SOURCES], n = 0;
            for (Index i = 0; i < anchors; ++i) {
                source[n] = i;
                n += pulling[line * chunk + i];
            }
            Pulls<T> pulls;
            for (Index j = line * LINE; n > 0 && j < rows && j < (line + 1) * LINE; j += GROUP) {
                pulls.n = 0;
                for (Index s = 0; s < n; ++s) {
                    const T* const weights = tile + source[s] * stride + j;
                    pulls.add(begin + source[s], [&](const Index c) { return weights[c]; });
                }
                pulls.into(samples, j, rows - j < GROUP ? rows - j : GROUP, call.gradient);
            }
        });
    }
    if (call.gradient) in_the_callers_unit(call, samples);
}

void run(const TripletsCall& call) {
    call.wide ? run_typed<double>(call) : run_typed<float>(call);
}

}  // namespace

extern const TripletsKernels triplets_kernels;
const TripletsKernels triplets_kernels = {run};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
