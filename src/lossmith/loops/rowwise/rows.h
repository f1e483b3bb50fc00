// A tile of rows as every loss over rows sees it: what is known of it before its scores are read, one row, or all side by side.
#pragma once

#include "kernel.h"

#include <cstddef>
#include <cstdint>

#include "lossmith/formula/vocabularies/cpp.h"
#include "lossmith/native/numbers.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

using Index = std::int64_t;

template <typename T>
constexpr Dtype OWN = sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;

// ----- what is known of the rows of a tile before their scores are read -----

template <typename T>
struct Tile {
    Index count = 0;
    Index at[MAX_DIMS] = {};      // the first row's place
    bool used[TILE];              // not masked, not ignored, its label in range
    bool all_used = true, any_used = false;
    Index label[TILE];            // 0 where not used
    T own[TILE];                  // the class weight of the label
    T factor[TILE];               // of loss and gradient
    T value[TILE];
};

// The address of a row of the tile.
template <typename T>
inline char* row_of(const Strided& tensor, const Shape& rows, const Tile<T>& tile, const Index i) {
    Index offset = i * tensor.stride[rows.dims - 1];
    for (int d = 0; d < rows.dims; ++d) offset += tile.at[d] * tensor.stride[d];
    return tensor.data + offset * static_cast<Index>(size_of(tensor.dtype));
}

template <typename T>
inline bool prepare(const RowwiseCall& call, const Index begin, const Index end, Tile<T>& tile) {
    const Shape& rows = call.rows;
    const int inner = rows.dims - 1;
    Index rest = begin;
    for (int d = inner; d >= 0; --d) {
        tile.at[d] = rest % rows.size[d];
        rest /= rows.size[d];
    }
    Index count = rows.size[inner] - tile.at[inner];
    if (count > end - begin) count = end - begin;
    tile.count = count > TILE ? TILE : count;
    bool inside = true;
    const T* const weight = static_cast<const T*>(call.class_weight);
    for (Index i = 0; i < tile.count; ++i) {
        tile.used[i] = !call.mask.data || *row_of(call.mask, rows, tile, i);
        tile.factor[i] = tile.own[i] = T(1);
        tile.label[i] = 0;
    }
    if (call.labels.data) {
        const char* const from = row_of(call.labels, rows, tile, 0);
        const Index step = call.labels.stride[inner];
        for (Index i = 0; i < tile.count; ++i) {
            if (!tile.used[i]) continue;
            const Index label = index_at(from, call.labels.dtype, i * step);
            if (call.ignores && label == call.ignored) {
                tile.used[i] = false;
            } else if (label < 0 || label >= call.classes) {
                tile.used[i] = inside = false;
            } else {
                tile.label[i] = label;
                if (weight) tile.own[i] = weight[label];
            }
        }
    }
    for (int k = 0; k < call.factors; ++k) {
        T factor[TILE];
        load<T>(row_of(call.factor[k], rows, tile, 0), call.factor[k].dtype, call.factor[k].stride[inner],
                static_cast<std::size_t>(tile.count), factor);
        for (Index i = 0; i < tile.count; ++i) tile.factor[i] *= factor[i];
    }
    tile.all_used = true, tile.any_used = false;
    for (Index i = 0; i < tile.count; ++i) {
        tile.all_used &= tile.used[i], tile.any_used |= tile.used[i];
        tile.value[i] = T(0);
    }
    return inside;
}

// ----- one row, its classes side by side -----

template <typename T>
inline T greatest_of(const T* const x, const Index n) {
    constexpr Index LANES = 64;
    constexpr T LOWEST = -__builtin_huge_val();
    T lane[LANES];
    for (Index j = 0; j < LANES; ++j) lane[j] = LOWEST;
    Index i = 0;
    for (; i + LANES <= n; i += LANES)
        for (Index j = 0; j < LANES; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (Index j = 0; j < n % LANES; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (Index width = LANES / 2; width > 0; width /= 2)
        for (Index j = 0; j < width; ++j) lane[j] = lane[j + width] > lane[j] ? lane[j + width] : lane[j];
    return lane[0] == LOWEST ? T(0) : lane[0];
}

// exp(x - greatest) into e, and the sum of it; the one of the label is 0 (if it is not negative).
template <typename T>
inline double exponentials(const T* const x, const Index n, const T greatest, T* const e, const Index label = -1) {
    constexpr Index PART = 1024;
    double total = 0;
    for (Index begin = 0; begin < n; begin += PART) {
        const Index count = n - begin < PART ? n - begin : PART;
        const T* const from = x + begin;
        T* const to = e + begin;
#pragma GCC ivdep
        for (Index i = 0; i < count; ++i) to[i] = exp(from[i] - greatest);
        if (label >= begin && label < begin + count) e[label] = T(0);
        total += sum(to, static_cast<std::size_t>(count));
    }
    return total;
}

// A row's scores x and where its gradients are to go (null: not wanted); e is room for a row, which may be g itself.
template <typename T>
struct Row {
    const T* x;
    const T* q;  // probabilities, or the scores of a teacher
    T* g;
    T* q_gradient;
    T* e;
    T* room;  // for three rows more
    Index label;
    T own, coefficient;
};

// ----- a tile of rows that lie side by side -----

// Pointers to the tile's numbers of each class: base + class * step.
template <typename T>
struct Side {
    const T* x;
    Index x_step;
    const T* q;
    Index q_step;
    T* g;
    Index g_step;
    T* q_gradient;
    Index q_gradient_step;
    T* room;  // for three tiles, of step TILE
};

// The greatest score of each row; 0 if all are -inf.
template <typename T>
inline void greatest_of(const T* const scores, const Index step, const Index classes, const Index rows, T* const greatest) {
    for (Index i = 0; i < rows; ++i) greatest[i] = -infinity<T>;
    for (Index c = 0; c < classes; ++c) {
        const T* const x = scores + c * step;
#pragma GCC ivdep
        for (Index i = 0; i < rows; ++i) greatest[i] = x[i] > greatest[i] ? x[i] : greatest[i];
    }
    for (Index i = 0; i < rows; ++i) greatest[i] = greatest[i] == -infinity<T> ? T(0) : greatest[i];
}

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
