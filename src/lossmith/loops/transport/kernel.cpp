// Distances of distributions on a line: the least cost of moving one to the other, value and gradients in one pass.
//
// On a line the best plan keeps the order: the lowest share of the one goes to the lowest share of the other. So both are
// sorted, and their quantile functions are merged: at each step a share of the mass goes from one point to one other,
// until the share of either ends. Sums and costs are computed in double, in which a float's square has room.
#include "kernel.h"

#include <omp.h>

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

using Rows = TransportCall::Rows;
using Numbers = TransportCall::Numbers;
using Side = TransportCall::Side;

// ----- sorting -----

// A point as a whole number that is in the same order, and its place. NaN is above all; zeros of both signs are equal.
template <typename T>
struct Entry {
    using Key = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    static constexpr Key SIGN = Key(1) << (8 * sizeof(Key) - 1);

    Key key;
    std::uint32_t place;

    static Entry of(const T x, const std::size_t place) {
        const T unsigned_zero = x + T(0);
        const Key bits = __builtin_bit_cast(Key, x == x ? unsigned_zero : std::numeric_limits<T>::quiet_NaN());
        return {static_cast<Key>(bits & SIGN ? ~bits : bits | SIGN), static_cast<std::uint32_t>(place)};
    }

    double point() const {
        return static_cast<double>(__builtin_bit_cast(T, static_cast<Key>(key & SIGN ? key ^ SIGN : ~key)));
    }
};

// Sorts from `from`, leaving points of equal key in their order; returns where they are then: `from` or `room`.
template <typename T>
Entry<T>* sorted(Entry<T>* from, Entry<T>* room, const std::size_t n) {
    constexpr std::size_t FEW = 48, DIGITS = sizeof(typename Entry<T>::Key);
    if (n <= FEW) {
        for (std::size_t i = 1; i < n; ++i) {
            const Entry<T> entry = from[i];
            std::size_t j = i;
            for (; j > 0 && from[j - 1].key > entry.key; --j) from[j] = from[j - 1];
            from[j] = entry;
        }
        return from;
    }
    std::uint32_t counts[DIGITS][256] = {};
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t d = 0; d < DIGITS; ++d) ++counts[d][from[i].key >> (8 * d) & 255];
    for (std::size_t d = 0; d < DIGITS; ++d) {
        if (counts[d][from[0].key >> (8 * d) & 255] == n) continue;  // all have the same digit
        std::uint32_t start = 0;
        for (std::uint32_t& count : counts[d]) {
            const std::uint32_t own = count;
            count = start;
            start += own;
        }
        for (std::size_t i = 0; i < n; ++i) room[counts[d][from[i].key >> (8 * d) & 255]++] = from[i];
        Entry<T>* const swapped = from;
        from = room;
        room = swapped;
    }
    return from;
}

// ----- one distribution of a pair -----

template <typename T>
class Distribution {
   public:
    Distribution(const TransportCall& call, const int number, char* const scratch)
        : side(call.sides[number]), size(static_cast<std::size_t>(side.size)) {
        const std::size_t entries = transport_slot(side.size, call.wide ? 16 : 8);
        const std::size_t numbers = transport_slot(side.size, sizeof(double));
        first = reinterpret_cast<Entry<T>*>(scratch), second = reinterpret_cast<Entry<T>*>(scratch + entries);
        weights = reinterpret_cast<double*>(scratch + 2 * entries);
        jumps = reinterpret_cast<double*>(scratch + 2 * entries + numbers);
        out = reinterpret_cast<T*>(scratch + 2 * entries + 2 * numbers);
    }

    // Reads a row; false where its weights are none.
    bool read(const std::int64_t row) {
        if (!order || side.points.row_stride != 0) {
            load(at(side.points, row), side.points.dtype, side.points.inner_stride, size, out);
            for (std::size_t i = 0; i < size; ++i) first[i] = Entry<T>::of(out[i], i);
            order = sorted(first, second, size);
        }
        if (side.weights.data) {
            load(at(side.weights, row), side.weights.dtype, side.weights.inner_stride, size, weights);
            bool valid = true;
            total = 0;
            for (std::size_t i = 0; i < size; ++i) {
                const double weight = weights[order[i].place];
                valid = valid && weight >= 0;
                total += weight;
            }
            if (!(valid && total > 0 && total < infinity<double>)) return false;
        }
        next = 0, running = 0, force = 0;
        enter();
        return true;
    }

    // The gradient in the point that is left is complete; the next one is entered, if there is one.
    void leave(const double scale) {
        if (side.gradient.data) out[order[next].place] = static_cast<T>(force * scale);
        force = 0;
        if (++next < size) enter();
    }

    bool done() const { return next >= size; }

    // Writes the gradients of a row that was walked through: times `scale`, which those in the points have already.
    void write(const std::int64_t row, const double scale) {
        if (side.gradient.data) store(out, at(side.gradient, row), side.gradient.dtype, side.gradient.inner_stride, size);
        if (!side.weight_gradient.data) return;
        // A share ends where a part of all weights does: what moves the ends moves it. The last end is fixed.
        double shares = 0, below = 0;
        for (std::size_t i = 0; i + 1 < size; ++i) {
            below += weights[order[i].place];
            shares += jumps[i] * (below / total);
        }
        double above = -shares;
        for (std::size_t i = size; i-- > 0;) {
            if (i + 1 < size) above += jumps[i];
            out[order[i].place] = static_cast<T>(above / total * scale);
        }
        store(out, at(side.weight_gradient, row), side.weight_gradient.dtype, side.weight_gradient.inner_stride, size);
    }

    void blank(const std::int64_t row) {
        if (!side.gradient.data && !side.weight_gradient.data) return;
        for (std::size_t i = 0; i < size; ++i) out[i] = 0;
        for (const Rows* rows : {&side.gradient, &side.weight_gradient})
            if (rows->data) store(out, at(*rows, row), rows->dtype, rows->inner_stride, size);
    }

    std::size_t next = 0;         // the point that the walk is at; after the last one it stays there
    double point = 0, share = 0;  // where that is, and up to which share of the mass it goes
    double force = 0;             // the gradient in it, so far
    double* jumps;                // by how much the cost changes at the end of each point's share

   private:
    void enter() {
        point = order[next].point();
        if (side.weights.data) {
            running += weights[order[next].place];
            share = running / total;
        } else {
            share = static_cast<double>(next + 1) / static_cast<double>(size);
        }
    }

    static char* at(const Rows& rows, const std::int64_t row) {
        return rows.data + row * rows.row_stride * static_cast<std::int64_t>(size_of(rows.dtype));
    }

    const Side& side;
    const std::size_t size;
    Entry<T>*first, *second, *order = nullptr;
    double* weights;
    T* out;
    double total = 1, running = 0;
};

// ----- what a distance costs: the value, and its derivative in the difference -----

struct Absolute {
    explicit Absolute(double) {}
    double cost(const double d) const { return abs(d); }
    double slope(const double d) const { return sign(d); }
};

struct Square {
    explicit Square(double) {}
    double cost(const double d) const { return d * d; }
    double slope(const double d) const { return 2 * d; }
};

struct Power {
    const double p;
    explicit Power(const double p) : p(p) {}
    double cost(const double d) const { return std::pow(abs(d), p); }
    double slope(const double d) const { return p * std::pow(abs(d), p - 1) * sign(d); }
};

// Walks through both quantile functions, and leaves the gradients with the distributions; returns the loss.
template <typename T, typename Cost, bool OF_WEIGHTS>
double walk(Distribution<T>& x, Distribution<T>& y, const std::size_t steps, const Cost& law, const double scale) {
    double loss = 0, before = 0, last_cost = 0;
    double* last_end = nullptr;
    for (std::size_t step = 0; step < steps; ++step) {
        const bool ends_x = y.done() || (!x.done() && x.share <= y.share);
        const double share = ends_x ? x.share : y.share, mass = share - before;
        double difference = x.point - y.point;
        if (mass == 0) {
            if (!(abs(difference) < infinity<double>)) difference = 0;  // nothing is moved there
        } else {
            const double force = mass * law.slope(difference);
            loss += mass * law.cost(difference);
            x.force += force, y.force -= force;
        }
        if constexpr (OF_WEIGHTS) {
            const double cost = law.cost(difference);
            if (last_end) *last_end = last_cost - cost;
            last_cost = cost;
            last_end = ends_x ? x.jumps + x.next : y.jumps + y.next;
        }
        before = share;
        ends_x ? x.leave(scale) : y.leave(scale);
    }
    return loss;
}

// ----- the loop -----

template <typename T>
inline T number(const Numbers& numbers, const std::int64_t row) {
    return load_one<T>(numbers.data, numbers.dtype, row * numbers.stride);
}

template <typename T, typename Cost>
void run_piece(const TransportCall& call, const std::int64_t piece, const int thread) {
    char* const scratch = call.scratch + static_cast<std::size_t>(thread) * transport_scratch(call);
    Distribution<T> x(call, 0, scratch), y(call, 1, scratch + transport_side(call, 0));
    const Cost law(call.p);
    const bool of_weights = call.sides[0].weight_gradient.data || call.sides[1].weight_gradient.data;
    const auto steps = static_cast<std::size_t>(call.sides[0].size + call.sides[1].size);
    const std::int64_t begin = piece * transport_rows(call), next = begin + transport_rows(call);
    const std::int64_t end = next < call.rows ? next : call.rows;
    double sum = 0;
    for (std::int64_t row = begin; row < end; ++row) {
        T value = 0;
        if (call.mask.data && !call.mask.data[row * call.mask.stride]) {
            x.blank(row), y.blank(row);
        } else {
            double weight = 1;
            for (int k = 0; k < call.factors; ++k) weight *= number<double>(call.factor[k], row);
            const double scale = weight * call.scale;
            if (x.read(row) && y.read(row)) {
                const double loss = of_weights ? walk<T, Cost, true>(x, y, steps, law, scale)
                                               : walk<T, Cost, false>(x, y, steps, law, scale);
                x.write(row, scale), y.write(row, scale);
                value = static_cast<T>(loss * weight);
            } else {
                call.outside[piece] = true;
            }
        }
        sum += static_cast<double>(value);
        if (call.values.data) {
            const auto bytes = static_cast<std::int64_t>(size_of(call.values.dtype));
            store(&value, call.values.data + row * call.values.stride * bytes, call.values.dtype, 1, 1);
        }
    }
    call.partials[piece] = sum;
}

template <typename T>
auto piece_of(const TransportCall& call) {
    return call.p == 1 ? run_piece<T, Absolute> : call.p == 2 ? run_piece<T, Square> : run_piece<T, Power>;
}

void run(const TransportCall& call) {
    const auto run_one = call.wide ? piece_of<double>(call) : piece_of<float>(call);
    const std::int64_t pieces = transport_pieces(call);
    const int threads = pieces < call.threads ? static_cast<int>(pieces) : call.threads;
    in_parallel(pieces, threads, [&](const std::int64_t piece) {
        // without a region of its own the number would be that of the caller's
        run_one(call, piece, threads > 1 ? omp_get_thread_num() : 0);
    });
}

}  // namespace

extern const TransportKernels transport_kernels;
const TransportKernels transport_kernels = {run};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
