// The pointwise loop: any formula over operands of any dtype and layout, its value and its gradients in one pass.
//
// The elements are cut into pieces, the pieces into blocks that stay in the first cache. Of each block the operands are
// brought to contiguous numbers of the compute type (or used where they lie, if they are that), the formula runs over
// them, and what it gives is weighed, summed and stored.
#include "kernel.h"

#include <array>
#include <cstddef>
#include <utility>

#include "formulas.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

constexpr std::int64_t BLOCK = 512;

// ----- the formulas, over blocks -----

enum Wanted { NO_GRADIENT, FIRST_GRADIENT, ALL_GRADIENTS };

template <typename T>
using Block = void (*)(const T* const* operand, const T* parameter, std::size_t n, T scale, T* value, T* const* gradient);

template <typename Formula, typename T, Wanted WANTED, std::size_t... I, std::size_t... P>
inline void run_block(
    const T* const* const operand, [[maybe_unused]] const T* const parameter, const std::size_t n,
    [[maybe_unused]] const T scale, T* const value, [[maybe_unused]] T* const* const gradient,
    std::index_sequence<I...>, std::index_sequence<P...>) {
    const std::array<const T*, sizeof...(I)> x = {operand[I]...};
    const std::array<T, sizeof...(P) + 1> c = {parameter[P]..., T(0)};
    std::array<T*, sizeof...(I)> d = {};
    if constexpr (WANTED != NO_GRADIENT) d = {gradient[I]...};
#pragma GCC ivdep
    for (std::size_t i = 0; i < n; ++i) {
        const auto result = Formula::template of<T>(x[I][i]..., c[P]...);
        value[i] = result[0];
        if constexpr (WANTED == FIRST_GRADIENT) d[0][i] = result[1] * scale;
        if constexpr (WANTED == ALL_GRADIENTS) ((d[I][i] = result[I + 1] * scale), ...);
    }
}

// flattened: a formula that stays a call is not vectorised
template <typename Formula, typename T, Wanted WANTED>
[[gnu::flatten]] void block(const T* const* operand, const T* parameter, std::size_t n, T scale, T* value, T* const* gradient) {
    run_block<Formula, T, WANTED>(operand, parameter, n, scale, value, gradient,
                                  std::make_index_sequence<Formula::operands>(),
                                  std::make_index_sequence<Formula::parameters>());
}

#define LOSSMITH_DEFINE(name, operand_count, parameter_count)              \
    struct name##_formula {                                                \
        static constexpr std::size_t operands = operand_count;             \
        static constexpr std::size_t parameters = parameter_count;         \
        template <typename T, typename... Numbers>                         \
        [[gnu::always_inline]] static inline auto of(const Numbers... x) { \
            return name<T>(x...);                                          \
        }                                                                  \
    };
LOSSMITH_FORMULAS(LOSSMITH_DEFINE)

template <typename T>
constexpr Block<T> BLOCKS[][3] = {
#define LOSSMITH_BLOCKS(name, operand_count, parameter_count)               \
    {block<name##_formula, T, NO_GRADIENT>, block<name##_formula, T, FIRST_GRADIENT>, \
     block<name##_formula, T, ALL_GRADIENTS>},
    LOSSMITH_FORMULAS(LOSSMITH_BLOCKS)};

// ----- the layouts -----

template <typename T>
constexpr Dtype OWN = sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;

// Whether the elements lie at equal distances throughout, that of the last dimension.
inline bool in_one_run(const Strided& tensor, const Shape& shape) {
    bool found = true;
    for (int d = 1; d < shape.dims; ++d) found &= tensor.stride[d - 1] == tensor.stride[d] * shape.size[d];
    return found;
}

// Calls part(byte offset, stride, first, count) for each run of a block along the last dimension.
template <typename Part>
inline void walk(const Strided& tensor, const Shape& shape, const std::int64_t begin, const std::int64_t n,
                 const Part& part) {
    const int inner = shape.dims - 1;
    const std::int64_t bytes = static_cast<std::int64_t>(size_of(tensor.dtype));
    if (in_one_run(tensor, shape))
        return part(begin * tensor.stride[inner] * bytes, tensor.stride[inner], std::int64_t(0), n);
    std::int64_t index[MAX_DIMS], rest = begin, offset = 0;
    for (int d = inner; d >= 0; --d) {
        index[d] = rest % shape.size[d];
        rest /= shape.size[d];
        offset += index[d] * tensor.stride[d];
    }
    for (std::int64_t done = 0; done < n;) {
        const std::int64_t left = shape.size[inner] - index[inner], count = left < n - done ? left : n - done;
        part(offset * bytes, tensor.stride[inner], done, count);
        done += count;
        index[inner] += count;
        offset += count * tensor.stride[inner];
        for (int d = inner; d > 0 && index[d] == shape.size[d]; --d) {
            offset += tensor.stride[d - 1] - index[d] * tensor.stride[d];
            index[d] = 0;
            ++index[d - 1];
        }
    }
}

// The block where it lies, if it is contiguous and of the compute type.
template <typename T>
inline T* in_place(const Strided& tensor, const Shape& shape, const std::int64_t begin, const std::int64_t n) {
    if (tensor.dtype != OWN<T>) return nullptr;
    const std::int64_t row = shape.size[shape.dims - 1];
    if (begin % row + n > row && !in_one_run(tensor, shape)) return nullptr;
    T* place = nullptr;
    walk(tensor, shape, begin, n, [&](std::int64_t offset, std::int64_t stride, std::int64_t, std::int64_t count) {
        place = count == n && (stride == 1 || n == 1) ? reinterpret_cast<T*>(tensor.data + offset) : nullptr;
    });
    return place;
}

// The places of elements in short rows (a sample with a few quantiles), of which a block holds many.
struct ShortRows {
    static constexpr std::int64_t LONGEST = 64;
    std::int64_t size = 0;  // 0: the rows are not short, or are not all there is
    std::int32_t row[BLOCK + LONGEST], column[BLOCK + LONGEST];

    explicit ShortRows(const Shape& shape) {
        if (shape.dims != 2 || shape.size[1] > LONGEST) return;
        size = shape.size[1];
        for (std::int64_t i = 0, r = 0, c = 0; i < BLOCK + size; ++i) {
            row[i] = static_cast<std::int32_t>(r);
            column[i] = static_cast<std::int32_t>(c);
            if (++c == size) ++r, c = 0;
        }
    }
};

// What is repeated along short rows, or row after row, is read once: a call for each row would be dearer than the loss.
template <typename T>
inline bool spread(const Strided& tensor, const ShortRows& rows, const std::int64_t begin, const std::int64_t n,
                   T* const to) {
    if (!rows.size || (tensor.stride[0] != 0 && tensor.stride[1] != 0)) return false;
    T few[BLOCK];
    const std::int64_t row = begin / rows.size, column = begin % rows.size;
    const bool along = tensor.stride[1] == 0;
    const std::int64_t bytes = static_cast<std::int64_t>(size_of(tensor.dtype));
    const std::int64_t first = along ? row * tensor.stride[0] : 0;
    const std::int64_t count = along ? rows.row[column + n - 1] + 1 : rows.size;
    load<T>(tensor.data + first * bytes, tensor.dtype, tensor.stride[along ? 0 : 1], static_cast<std::size_t>(count),
            few);
    const std::int32_t* const place = (along ? rows.row : rows.column) + column;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) to[i] = few[place[i]];
    return true;
}

template <typename T>
inline void gather(const Strided& tensor, const Shape& shape, const ShortRows& rows, const std::int64_t begin,
                   const std::int64_t n, T* const to) {
    if (spread(tensor, rows, begin, n, to)) return;
    walk(tensor, shape, begin, n, [&](std::int64_t offset, std::int64_t stride, std::int64_t first, std::int64_t count) {
        load<T>(tensor.data + offset, tensor.dtype, stride, static_cast<std::size_t>(count), to + first);
    });
}

template <typename T>
inline const T* fetch(const Strided& tensor, const Shape& shape, const ShortRows& rows, const std::int64_t begin,
                      const std::int64_t n, T* const scratch) {
    if (const T* const place = in_place<T>(tensor, shape, begin, n)) return place;
    gather(tensor, shape, rows, begin, n, scratch);
    return scratch;
}

template <typename T>
inline void scatter(const T* const from, const Strided& tensor, const Shape& shape, const std::int64_t begin,
                    const std::int64_t n) {
    walk(tensor, shape, begin, n, [&](std::int64_t offset, std::int64_t stride, std::int64_t first, std::int64_t count) {
        store(from + first, tensor.data + offset, tensor.dtype, stride, static_cast<std::size_t>(count));
    });
}

// ----- the loop -----

template <typename T>
struct Scratch {
    alignas(64) T operand[MAX_OPERANDS][BLOCK];
    alignas(64) T gradient[MAX_OPERANDS][BLOCK];
    alignas(64) T value[BLOCK];
    alignas(64) T weight[BLOCK];
    alignas(64) T other[BLOCK];
    alignas(64) T kept[BLOCK];  // 1 where the mask is True, else 0
    const ShortRows rows;

    explicit Scratch(const Shape& shape) : rows(shape) {}
};

template <typename T>
inline bool outside(const T* const x, const std::int64_t n, const T low, const T high, const bool nan_is_inside) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) count += (x[i] < low) | (x[i] > high);
    if (!nan_is_inside)
        for (std::int64_t i = 0; i < n; ++i) count += x[i] != x[i];
    return count > 0;
}

// The product of the factors, 0 where masked; the mask itself is left in the scratch.
template <typename T>
inline const T* weights(const PointwiseCall& call, const std::int64_t begin, const std::int64_t n, Scratch<T>& scratch) {
    const T* weight = nullptr;
    for (int k = 0; k < call.factors; ++k) {
        const T* const factor = fetch(call.factor[k], call.shape, scratch.rows, begin, n, scratch.other);
        if (k == 0 && call.factors == 1 && !call.mask.data) return factor;
        for (std::int64_t i = 0; i < n; ++i) scratch.weight[i] = k == 0 ? factor[i] : scratch.weight[i] * factor[i];
        weight = scratch.weight;
    }
    if (call.mask.data) {
        gather(call.mask, call.shape, scratch.rows, begin, n, scratch.kept);
        if (!call.factors) return scratch.kept;
        for (std::int64_t i = 0; i < n; ++i) scratch.weight[i] = where(scratch.kept[i] != T(0), weight[i], T(0));
        weight = scratch.weight;
    }
    return weight;
}

// Asks for the memory that the next block of a gradient is written to: processors foresee reads better than writes.
template <typename T>
inline void claim(const T* const next, const std::int64_t n) {
    for (std::int64_t i = 0; i < n; i += 64 / static_cast<std::int64_t>(sizeof(T))) __builtin_prefetch(next + i, 1);
}

template <typename T>
inline void run_piece(const PointwiseCall& call, const std::int64_t piece) {
    Scratch<T> scratch(call.shape);
    T parameter[MAX_PARAMETERS];
    for (int p = 0; p < MAX_PARAMETERS; ++p) parameter[p] = static_cast<T>(call.parameter[p]);
    const T* operand[MAX_OPERANDS] = {};
    T* gradient[MAX_OPERANDS] = {};
    Wanted wanted = NO_GRADIENT;
    for (int k = 0; k < call.operands; ++k) {
        if (call.gradient[k].data) wanted = k == 0 ? FIRST_GRADIENT : ALL_GRADIENTS;
        if (!call.operand[k].data) {
            for (std::int64_t i = 0; i < BLOCK; ++i) scratch.operand[k][i] = static_cast<T>(call.number[k]);
            operand[k] = scratch.operand[k];
        }
    }
    const Block<T> formula = BLOCKS<T>[call.formula][wanted];
    const bool weighed = call.factors > 0 || call.mask.data;
    const T scale = static_cast<T>(call.scale);

    Partial partial;
    const std::int64_t end = (piece + 1) * PIECE < call.shape.count ? (piece + 1) * PIECE : call.shape.count;
    for (std::int64_t begin = piece * PIECE; begin < end; begin += BLOCK) {
        const std::int64_t n = end - begin < BLOCK ? end - begin : BLOCK;
        const T* const weight = weighed ? weights(call, begin, n, scratch) : nullptr;
        for (int k = 0; k < call.operands; ++k) {
            const Strided& tensor = call.operand[k];
            if (!tensor.data) continue;
            operand[k] = fetch(tensor, call.shape, scratch.rows, begin, n, scratch.operand[k]);
            if (call.mask.data) {
                // 1 is a point where every formula is finite, with finite derivatives
                const T *const from = operand[k], *const kept = scratch.kept;
                T* const to = scratch.operand[k];
#pragma GCC ivdep
                for (std::int64_t i = 0; i < n; ++i) to[i] = where(kept[i] != T(0), from[i], T(1));
                operand[k] = scratch.operand[k];
            }
            if (call.bounded[k])
                partial.outside |= outside(operand[k], n, static_cast<T>(call.low[k]), static_cast<T>(call.high[k]),
                                           call.nan_is_inside[k]);
        }
        for (int k = 0; k < call.operands; ++k) {
            T* const place = call.gradient[k].data ? in_place<T>(call.gradient[k], call.shape, begin, n) : nullptr;
            gradient[k] = place ? place : scratch.gradient[k];
        }
        T* const place = call.value.data ? in_place<T>(call.value, call.shape, begin, n) : nullptr;
        T* const value = place ? place : scratch.value;
        formula(operand, parameter, static_cast<std::size_t>(n), weighed ? T(1) : scale, value, gradient);
        for (int k = 0; k < call.operands; ++k)
            if (call.gradient[k].data && gradient[k] != scratch.gradient[k]) claim(gradient[k] + n, n);
        if (weighed) {
#pragma GCC ivdep
            for (std::int64_t i = 0; i < n; ++i) value[i] *= weight[i];
            for (int k = 0; k < call.operands; ++k) {
                if (!call.gradient[k].data) continue;
                T* const g = gradient[k];
                const T* const kept = call.mask.data ? scratch.kept : nullptr;
                if (kept) {
#pragma GCC ivdep
                    for (std::int64_t i = 0; i < n; ++i) g[i] = where(kept[i] != T(0), g[i] * weight[i] * scale, T(0));
                } else {
#pragma GCC ivdep
                    for (std::int64_t i = 0; i < n; ++i) g[i] = g[i] * weight[i] * scale;
                }
            }
        }
        for (int k = 0; k < call.operands; ++k)
            if (call.gradient[k].data && gradient[k] == scratch.gradient[k])
                scatter(gradient[k], call.gradient[k], call.shape, begin, n);
        if (call.value.data) {
            if (!place) scatter(value, call.value, call.shape, begin, n);
        } else {
            partial.total += sum(value, static_cast<std::size_t>(n));
        }
    }
    call.partials[piece] = partial;
}

template <typename T>
inline void weigh_piece(const PointwiseCall& call, const std::int64_t piece) {
    Scratch<T> scratch(call.shape);
    Partial partial;
    const std::int64_t end = (piece + 1) * PIECE < call.shape.count ? (piece + 1) * PIECE : call.shape.count;
    for (std::int64_t begin = piece * PIECE; begin < end; begin += BLOCK) {
        const std::int64_t n = end - begin < BLOCK ? end - begin : BLOCK;
        partial.total += sum(weights(call, begin, n, scratch), static_cast<std::size_t>(n));
    }
    call.partials[piece] = partial;
}

template <typename T>
inline void rescale_piece(const PointwiseCall& call, const std::int64_t piece) {
    const std::int64_t begin = piece * PIECE, left = call.shape.count - begin;
    const T scale = static_cast<T>(call.scale);
    const Strided& gradient = call.gradient[0];
    walk(gradient, call.shape, begin, left < PIECE ? left : PIECE,
         [&](std::int64_t offset, std::int64_t stride, std::int64_t, std::int64_t count) {
             T* const g = reinterpret_cast<T*>(gradient.data + offset);
             if (stride == 1)
                 for (std::int64_t i = 0; i < count; ++i) g[i] *= scale;
             else
                 for (std::int64_t i = 0; i < count; ++i) g[i * stride] *= scale;
         });
    call.partials[piece] = Partial();
}

template <typename T>
inline void sum_chunk(const SumCall& call, const std::int64_t piece) {
    const std::int64_t each = terms_of_chunk(call), outer = piece / call.chunks, begin = piece % call.chunks * each;
    const std::int64_t end = begin + each < call.terms ? begin + each : call.terms, n = call.inner;
    const T* const from = static_cast<const T*>(call.from) + (outer * call.terms + begin) * n;
    double* const to = call.sums + piece * n;
    if (n == 1) {
        *to = sum(from, static_cast<std::size_t>(end - begin));
        return;
    }
    for (std::int64_t i = 0; i < n; ++i) to[i] = 0;
    for (std::int64_t term = 0; term < end - begin; ++term) {
        const T* const x = from + term * n;
#pragma GCC ivdep
        for (std::int64_t i = 0; i < n; ++i) to[i] += static_cast<double>(x[i]);
    }
}

static void rescale(const PointwiseCall& call) {
    in_parallel(pieces_of(call.shape.count), call.threads, [&](const std::int64_t piece) {
        call.wide ? rescale_piece<double>(call, piece) : rescale_piece<float>(call, piece);
    });
}

static void run(const PointwiseCall& call) {
    in_parallel(pieces_of(call.shape.count), call.threads, [&](const std::int64_t piece) {
        call.wide ? run_piece<double>(call, piece) : run_piece<float>(call, piece);
    });
}

static void weigh(const PointwiseCall& call) {
    in_parallel(pieces_of(call.shape.count), call.threads, [&](const std::int64_t piece) {
        call.wide ? weigh_piece<double>(call, piece) : weigh_piece<float>(call, piece);
    });
}

static void sum_chunks(const SumCall& call) {
    in_parallel(call.outer * call.chunks, call.threads, [&](const std::int64_t piece) {
        call.wide ? sum_chunk<double>(call, piece) : sum_chunk<float>(call, piece);
    });
}

extern const PointwiseKernels pointwise_kernels;
const PointwiseKernels pointwise_kernels = {run, weigh, rescale, sum_chunks};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
