// The overlap of predictions and targets: sums over the pixels of regions, then the gradient through the activation.
//
// Both passes go through tiles of pixels that run along one dimension. Where those lie side by side, classes apart
// (images as torch has them), scores are used where they lie; where classes lie side by side, the tile is turned, and
// its gradient is turned back; elsewhere a class of it is gathered first. The second pass computes the exponentials anew:
// to keep them would be as much memory traffic again, and half precision has no room for them.
#include "kernel.h"

#include <omp.h>

#include <cstddef>
#include <utility>

#include "lossmith/formula/vocabularies/cpp.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

using Index = std::int64_t;
using Field = OverlapCall::Field;

template <typename T>
constexpr Dtype OWN = sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;

// ----- what is known of the pixels of a tile before their scores are read -----

struct Tile {
    Index sample = 0, count = 0;
    Index at[MAX_DIMS] = {};  // the first pixel's place
    const unsigned char* live = nullptr;  // of the sample's regions
    bool any_live = false, all_used = true, any_used = false;
    unsigned char used[TILE];  // 1 where the pixel enters some region
    std::int32_t label[TILE];  // -1 where it is not used
};

// The address of the tile's first pixel in a class.
inline char* place_of(const OverlapCall& call, const Field& field, const Tile& tile, const Index c) {
    Index offset = tile.sample * field.sample + c * field.step;
    for (int d = 0; d < call.pixels.dims; ++d) offset += tile.at[d] * field.pixels.stride[d];
    return field.pixels.data + offset * static_cast<Index>(size_of(field.pixels.dtype));
}

inline Index stride_of(const OverlapCall& call, const Field& field) {
    return field.pixels.stride[call.pixels.dims - 1];
}

// The tile that begins at a pixel of a sample; false if a label is out of range.
inline bool prepare(const OverlapCall& call, const Index sample, const Index begin, const Index end, Tile& tile) {
    const int inner = call.pixels.dims - 1;
    Index rest = begin;
    for (int d = inner; d >= 0; --d) {
        tile.at[d] = rest % call.pixels.size[d];
        rest /= call.pixels.size[d];
    }
    Index count = call.pixels.size[inner] - tile.at[inner];
    if (count > end - begin) count = end - begin;
    tile.sample = sample, tile.count = count > call.width ? call.width : count;
    tile.live = call.live + sample * call.classes;
    tile.any_live = false;
    for (Index c = 0; c < call.classes; ++c) tile.any_live |= tile.live[c] != 0;

    for (Index i = 0; i < tile.count; ++i) tile.used[i] = tile.any_live;
    if (call.kept.pixels.data && tile.any_live) {
        const Index stride = stride_of(call, call.kept);
        for (Index i = 0; i < tile.count; ++i) tile.used[i] = 0;
        for (Index c = 0; c < (call.kept.step == 0 ? 1 : call.classes); ++c) {
            const char* const kept = place_of(call, call.kept, tile, c);
            for (Index i = 0; i < tile.count; ++i) tile.used[i] |= kept[i * stride] != 0;
        }
    }
    bool inside = true;
    if (call.labelled) {
        const char* const from = place_of(call, call.target, tile, 0);
        const Index stride = stride_of(call, call.target);
        for (Index i = 0; i < tile.count; ++i) {
            tile.label[i] = -1;
            if (!tile.used[i]) continue;
            const Index label = index_at(from, call.target.pixels.dtype, i * stride);
            if (call.ignores && label == call.ignored) {
                tile.used[i] = 0;
            } else if (label < 0 || label >= call.classes) {
                tile.used[i] = 0, inside = false;
            } else {
                tile.label[i] = static_cast<std::int32_t>(label);
            }
        }
    }
    tile.all_used = true, tile.any_used = false;
    for (Index i = 0; i < tile.count; ++i) tile.all_used &= tile.used[i] != 0, tile.any_used |= tile.used[i] != 0;
    return inside;
}

// Which pixels of a class are not left out; null if all of them are kept.
inline const unsigned char* kept_of(const OverlapCall& call, const Tile& tile, const Index c, unsigned char* const room) {
    if (!call.kept.pixels.data || call.kept.step == 0) return tile.all_used ? nullptr : tile.used;
    const char* const kept = place_of(call, call.kept, tile, c);
    const Index stride = stride_of(call, call.kept);
    for (Index i = 0; i < tile.count; ++i) room[i] = tile.used[i] & (kept[i * stride] != 0);
    return room;
}

// The numbers of a class, 0 where they are left out: where they lie, or in the room.
template <typename T>
inline const T* numbers_of(const OverlapCall& call, const Field& field, const Tile& tile, const Index c,
                           const unsigned char* const kept, T* const room) {
    const char* const from = place_of(call, field, tile, c);
    const Index stride = stride_of(call, field);
    const T* x = reinterpret_cast<const T*>(from);
    if (field.pixels.dtype != OWN<T> || stride != 1) {
        load<T>(from, field.pixels.dtype, stride, static_cast<std::size_t>(tile.count), room);
        x = room;
    }
    if (!kept) return x;
    for (Index i = 0; i < tile.count; ++i) room[i] = kept[i] ? x[i] : T(0);
    return room;
}

// ----- tiles whose classes lie side by side -----

constexpr Index FEW = 64;

// Calls body(class, count, pixel, address) for a few classes of every pixel, then for the next few: so lines that hold
// several pixels of a class stay in the cache.
template <typename Body>
inline void each_few(const OverlapCall& call, const Field& field, const Tile& tile, const Body& body) {
    const Index bytes = static_cast<Index>(size_of(field.pixels.dtype)), stride = stride_of(call, field) * bytes;
    char* const first = place_of(call, field, tile, 0);
    for (Index c = 0; c < call.classes; c += FEW) {
        const Index count = call.classes - c < FEW ? call.classes - c : FEW;
        for (Index i = 0; i < tile.count; ++i) body(c, count, i, first + i * stride + c * field.step * bytes);
    }
}

// The scores as [class][pixel].
template <typename T>
inline void turn(const OverlapCall& call, const Tile& tile, T* const e) {
    const bool own = call.input.pixels.dtype == OWN<T>;
    each_few(call, call.input, tile, [&](const Index c, const Index count, const Index i, const char* const at) {
        T room[FEW];
        if (!own) load<T>(at, call.input.pixels.dtype, 1, static_cast<std::size_t>(count), room);
        const T* const few = own ? reinterpret_cast<const T*>(at) : room;
        for (Index k = 0; k < count; ++k) e[(c + k) * call.width + i] = few[k];
    });
}

// Gradients that are [class][pixel], to where they are to lie.
template <typename T>
inline void turn_back(const OverlapCall& call, const Tile& tile, const T* const e) {
    const Field& field = call.gradient;
    const bool own = field.pixels.dtype == OWN<T> && field.step == 1;
    each_few(call, field, tile, [&](const Index c, const Index count, const Index i, char* const at) {
        T room[FEW];
        T* const few = own ? reinterpret_cast<T*>(at) : room;
        for (Index k = 0; k < count; ++k) few[k] = e[(c + k) * call.width + i];
        if (!own) store(room, at, field.pixels.dtype, field.step, static_cast<std::size_t>(count));
    });
}

// The scores of a class, 0 where they are left out: where they lie, in the turned tile or in the room.
template <typename T>
inline const T* scores_of(const OverlapCall& call, const Tile& tile, const Index c, const unsigned char* const kept,
                          const T* const e, T* const room) {
    if (!is_turned(call)) return numbers_of(call, call.input, tile, c, kept, room);
    const T* const x = e + c * call.width;
    if (!kept) return x;
    for (Index i = 0; i < tile.count; ++i) room[i] = kept[i] ? x[i] : T(0);
    return room;
}

// ----- activations -----

// The exponentials of a tile's scores less the pixel's greatest, [class][pixel], and one over their sum.
template <typename T>
inline void exponentials(const OverlapCall& call, const Tile& tile, T* const e, T* const inverse) {
    const unsigned char* const kept = tile.all_used ? nullptr : tile.used;
    const Index w = tile.count;
    alignas(64) T greatest[TILE];
    alignas(64) double total[TILE];
    for (Index i = 0; i < w; ++i) greatest[i] = -infinity<T>, total[i] = 0;
    for (Index c = 0; c < call.classes; ++c) {
        const T* const x = scores_of(call, tile, c, kept, e, e + c * call.width);
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) greatest[i] = x[i] > greatest[i] ? x[i] : greatest[i];
    }
    for (Index i = 0; i < w; ++i) greatest[i] = greatest[i] == -infinity<T> ? T(0) : greatest[i];
    const bool there = !kept && !is_turned(call) && call.input.pixels.dtype == OWN<T> && stride_of(call, call.input) == 1;
    for (Index c = 0; c < call.classes; ++c) {
        T* const to = e + c * call.width;
        const T* const x = there ? reinterpret_cast<const T*>(place_of(call, call.input, tile, c)) : to;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            to[i] = exp(x[i] - greatest[i]);
            total[i] += static_cast<double>(to[i]);
        }
    }
    for (Index i = 0; i < w; ++i) inverse[i] = static_cast<T>(1 / total[i]);
}

// Room of one thread: the exponentials of a tile, and a few rows of it.
template <typename T>
struct Room {
    T *e, *p, *t, *g;

    explicit Room(const OverlapCall& call) {
        T* const scratch = reinterpret_cast<T*>(call.scratch + omp_get_thread_num() * call.scratch_bytes);
        p = scratch, t = p + TILE, g = t + TILE, e = g + TILE;
    }
};

// The predictions of a class, 0 where they are left out.
template <typename T>
inline const T* predictions(const OverlapCall& call, const Tile& tile, const Index c, const unsigned char* const kept,
                            const Room<T>& room, const T* const inverse) {
    const Index w = tile.count;
    T* const p = room.p;
    if (call.activation == Activation::softmax) {
        const T* const e = room.e + c * call.width;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) p[i] = e[i] * inverse[i];
    } else {
        const T* const x = scores_of(call, tile, c, kept, room.e, p);
        if (call.activation == Activation::none) return x;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) p[i] = sigmoid(x[i]);
    }
    if (kept)
        for (Index i = 0; i < w; ++i) p[i] = kept[i] ? p[i] : T(0);
    return p;
}

// ----- the sums -----

template <typename T>
inline bool within_unit(const T* const x, const Index n) {
    Index outside = 0;
    for (Index i = 0; i < n; ++i) outside += !(x[i] >= T(0) && x[i] <= T(1));
    return outside == 0;
}

// Adds a tile's class to the sums; false if a number is not from 0 to 1.
template <typename T>
inline bool add(const OverlapCall& call, const Tile& tile, const Index c, const Room<T>& room, const T* const inverse,
                RegionSums& sums) {
    unsigned char of_class[TILE];
    const unsigned char* const kept = kept_of(call, tile, c, of_class);
    const Index w = tile.count;
    const std::size_t n = static_cast<std::size_t>(w);
    const T* const p = predictions(call, tile, c, kept, room, inverse);
    std::int32_t pixels = static_cast<std::int32_t>(w);
    if (kept) {
        pixels = 0;
        for (Index i = 0; i < w; ++i) pixels += kept[i];
    }
    sums.pixels += pixels;
    bool inside = call.activation != Activation::none || within_unit(p, w);
    std::pair<double, double> found;
    if (call.labelled) {
        const std::int32_t own = static_cast<std::int32_t>(c);
        const std::int32_t* const label = tile.label;
        std::int32_t wanted = 0;
        for (Index i = 0; i < w; ++i) wanted += (label[i] == own) & (kept ? kept[i] : 1);
        sums.wanted += wanted;
        if (call.squared) {
            found = sums_of(n, [=](const std::size_t i) {
                const double square = static_cast<double>(p[i]) * static_cast<double>(p[i]);
                return std::pair(label[i] == own ? p[i] : T(0), square);
            });
        } else {
            found = sums_of(n, [=](const std::size_t i) { return std::pair(label[i] == own ? p[i] : T(0), p[i]); });
        }
    } else {
        const T* const t = numbers_of(call, call.target, tile, c, kept, room.t);
        inside &= within_unit(t, w);
        const auto product = [=](const std::size_t i) { return static_cast<double>(p[i]) * static_cast<double>(t[i]); };
        if (call.squared) {
            found = sums_of(n, [=](const std::size_t i) {
                return std::pair(product(i), static_cast<double>(p[i]) * static_cast<double>(p[i]));
            });
            sums.wanted +=
                sum_of(n, [=](const std::size_t i) { return static_cast<double>(t[i]) * static_cast<double>(t[i]); });
        } else {
            found = sums_of(n, [=](const std::size_t i) { return std::pair(product(i), p[i]); });
            sums.wanted += sum(t, n);
        }
    }
    sums.common += found.first, sums.predicted += found.second;
    return inside;
}

// The pieces one after the other, and the tiles of a piece.
template <typename Body>
inline void each_tile(const OverlapCall& call, const Index number, const Body& body) {
    const Index sample = number / call.pieces, first = number % call.pieces * call.piece;
    const Index end = first + call.piece < call.pixels.count ? first + call.piece : call.pixels.count;
    Tile tile;
    for (Index begin = first; begin < end; begin += tile.count) {
        const bool inside = prepare(call, sample, begin, end, tile);
        body(tile, inside);
    }
}

template <typename T>
inline void measure_piece(const OverlapCall& call, const Index number) {
    const Room<T> room(call);
    RegionSums* const sums = call.sums + number * call.classes;
    bool inside = true;
    each_tile(call, number, [&](const Tile& tile, const bool labels_inside) {
        inside &= labels_inside;
        if (!tile.any_used) return;
        alignas(64) T inverse[TILE];
        if (is_turned(call)) turn(call, tile, room.e);
        if (call.activation == Activation::softmax) exponentials(call, tile, room.e, inverse);
        for (Index c = 0; c < call.classes; ++c)
            if (tile.live[c]) inside &= add(call, tile, c, room, inverse, sums[c]);
    });
    call.outside[number] = !inside;
}

// ----- the gradients -----

// What a pixel's prediction and target are multiplied with: common t + predicted, common p + wanted; the last two times
// twice the number itself, if squares were summed.
template <typename T>
struct Slopes {
    T common, predicted, wanted;

    explicit Slopes(const RegionSlopes& given)
        : common(static_cast<T>(given.common)), predicted(static_cast<T>(given.predicted)),
          wanted(static_cast<T>(given.wanted)) {}
};

// The derivatives in the predictions of a class, 0 where they are left out; t is null for labels.
template <typename T>
inline void slopes_of(const OverlapCall& call, const Tile& tile, const Index c, const unsigned char* const kept,
                      const T* const p, const T* const t, T* const slope) {
    const Index w = tile.count;
    const Slopes<T> of(call.slopes[tile.sample * call.classes + c]);
    const T twice = call.squared ? T(2) * of.predicted : T(0), once = call.squared ? T(0) : of.predicted;
    if (t) {
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) slope[i] = of.common * t[i] + (once + twice * p[i]);
    } else {
        const std::int32_t own = static_cast<std::int32_t>(c);
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) slope[i] = (tile.label[i] == own ? of.common : T(0)) + (once + twice * p[i]);
    }
    if (kept)
        for (Index i = 0; i < w; ++i) slope[i] = kept[i] ? slope[i] : T(0);
}

// Where a gradient's class is computed: where it is to lie, or in the room.
template <typename T>
inline T* room_for(const OverlapCall& call, const Field& field, const Tile& tile, const Index c, T* const room) {
    if (field.pixels.dtype != OWN<T> || stride_of(call, field) != 1) return room;
    return reinterpret_cast<T*>(place_of(call, field, tile, c));
}

template <typename T>
inline void put(const OverlapCall& call, const Field& field, const Tile& tile, const Index c, const T* const from) {
    char* const to = place_of(call, field, tile, c);
    if (reinterpret_cast<const char*>(from) != to)
        store(from, to, field.pixels.dtype, stride_of(call, field), static_cast<std::size_t>(tile.count));
}

template <typename T>
inline void put_zeros(const OverlapCall& call, const Field& field, const Tile& tile, const Index c, T* const room) {
    T* const g = room_for(call, field, tile, c, room);
    for (Index i = 0; i < tile.count; ++i) g[i] = T(0);
    put(call, field, tile, c, g);
}

template <typename T>
inline void put_target_gradient(const OverlapCall& call, const Tile& tile, const Index c,
                                const unsigned char* const kept, const T* const p, const T* const t, T* const room) {
    const Slopes<T> of(call.slopes[tile.sample * call.classes + c]);
    const T twice = call.squared ? T(2) * of.wanted : T(0), once = call.squared ? T(0) : of.wanted;
    T* const g = room_for(call, call.target_gradient, tile, c, room);
#pragma GCC ivdep
    for (Index i = 0; i < tile.count; ++i) g[i] = of.common * p[i] + (once + twice * t[i]);
    if (kept)
        for (Index i = 0; i < tile.count; ++i) g[i] = kept[i] ? g[i] : T(0);
    put(call, call.target_gradient, tile, c, g);
}

// Through softmax: g = p (slope - sum over the classes of p slope). So classes that do not count have gradients too.
template <typename T>
inline void through_softmax(const OverlapCall& call, const Tile& tile, const Room<T>& room) {
    const Index w = tile.count;
    unsigned char of_class[TILE];
    alignas(64) T inverse[TILE];
    alignas(64) double total[TILE];
    if (is_turned(call)) turn(call, tile, room.e);
    exponentials(call, tile, room.e, inverse);
    for (Index i = 0; i < w; ++i) total[i] = 0;
    const auto slopes = [&](const Index c, T* const slope) {
        const unsigned char* const kept = kept_of(call, tile, c, of_class);
        const T* const t = call.labelled ? nullptr : numbers_of(call, call.target, tile, c, kept, room.t);
        slopes_of(call, tile, c, kept, predictions(call, tile, c, kept, room, inverse), t, slope);
        return std::pair(kept, t);
    };
    for (Index c = 0; c < call.classes; ++c) {
        if (!tile.live[c]) continue;
        const auto [kept, t] = slopes(c, room.g);
        const T *const p = room.p, *const slope = room.g;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) total[i] += static_cast<double>(p[i] * slope[i]);
        if (call.target_gradient.pixels.data) put_target_gradient(call, tile, c, kept, p, t, room.g);
    }
    if (!call.gradient.pixels.data) return;
    for (Index c = 0; c < call.classes; ++c) {
        T* const e = room.e + c * call.width;
        T* const g = is_turned(call) ? e : room_for(call, call.gradient, tile, c, room.g);
        if (tile.live[c]) {
            slopes(c, room.g);
        } else {
            for (Index i = 0; i < w; ++i) room.g[i] = T(0);
        }
        const T* const slope = room.g;
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) g[i] = e[i] * inverse[i] * (slope[i] - static_cast<T>(total[i]));
        if (!tile.all_used)
            for (Index i = 0; i < w; ++i) g[i] = tile.used[i] ? g[i] : T(0);
        if (!is_turned(call)) put(call, call.gradient, tile, c, g);
    }
    if (is_turned(call)) turn_back(call, tile, room.e);
}

// Through sigmoid, or through nothing: each class by itself.
template <typename T>
inline void through_sigmoid(const OverlapCall& call, const Tile& tile, const Index c, const Room<T>& room) {
    const Index w = tile.count;
    unsigned char of_class[TILE];
    const unsigned char* const kept = kept_of(call, tile, c, of_class);
    const T* const p = predictions<T>(call, tile, c, kept, room, nullptr);
    const T* const t = call.labelled ? nullptr : numbers_of(call, call.target, tile, c, kept, room.t);
    if (call.target_gradient.pixels.data) put_target_gradient(call, tile, c, kept, p, t, room.g);
    if (!call.gradient.pixels.data) return;
    T* const g = is_turned(call) ? room.g : room_for(call, call.gradient, tile, c, room.g);
    slopes_of(call, tile, c, kept, p, t, g);
    if (call.activation == Activation::sigmoid) {
        const T* const x = scores_of(call, tile, c, kept, room.e, room.p);
#pragma GCC ivdep
        for (Index i = 0; i < w; ++i) {
            // p (1 - p), which keeps its relative accuracy in both tails
            const T small = exp(-abs(x[i])), share = T(1) / (T(1) + small);
            g[i] *= small * share * share;
        }
    }
    if (is_turned(call)) {
        for (Index i = 0; i < w; ++i) room.e[c * call.width + i] = g[i];
    } else {
        put(call, call.gradient, tile, c, g);
    }
}

template <typename T>
inline void differentiate_piece(const OverlapCall& call, const Index number) {
    const Room<T> room(call);
    const bool turned = is_turned(call), wanted = call.gradient.pixels.data != nullptr;
    each_tile(call, number, [&](const Tile& tile, bool) {
        const bool coupled = call.activation == Activation::softmax && tile.any_used;
        if (coupled) through_softmax(call, tile, room);
        else if (turned) turn(call, tile, room.e);
        for (Index c = 0; c < call.classes; ++c) {
            const bool dead = !tile.any_used || !tile.live[c];
            if (dead && call.target_gradient.pixels.data) put_zeros(call, call.target_gradient, tile, c, room.g);
            if (coupled) continue;
            if (!dead) through_sigmoid(call, tile, c, room);
            else if (turned) for (Index i = 0; i < tile.count; ++i) room.e[c * call.width + i] = T(0);
            else if (wanted) put_zeros(call, call.gradient, tile, c, room.g);
        }
        if (turned && !coupled && wanted) turn_back(call, tile, room.e);
    });
}

static void measure(const OverlapCall& call) {
    in_parallel(call.samples * call.pieces, call.threads, [&](const Index number) {
        call.wide ? measure_piece<double>(call, number) : measure_piece<float>(call, number);
    });
}

static void differentiate(const OverlapCall& call) {
    in_parallel(call.samples * call.pieces, call.threads, [&](const Index number) {
        call.wide ? differentiate_piece<double>(call, number) : differentiate_piece<float>(call, number);
    });
}

extern const OverlapKernels overlap_kernels;
const OverlapKernels overlap_kernels = {measure, differentiate};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
