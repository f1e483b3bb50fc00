// Losses over pairs of vectors: cosine embedding, contrastive and triplet margin, value and gradients in one pass.
//
// Each row is brought to contiguous numbers of the compute type (or used where it lies, if it is that) and swept twice,
// while it is in the first cache: for the sums of its pairs, and for its gradients. Sums are computed in double, in
// which no square of a float overflows or vanishes; squares of doubles may do either, and then the row is summed again,
// scaled by a power of two. Gradients are computed in the compute type, and rounded once to a narrower one.
#include "kernel.h"

#include <omp.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "distances.h"
#include "lossmith/native/parallel.h"
#include "rows.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {
namespace {

constexpr double COSINE_EPS = 1e-12;  // what torch adds to both squared lengths

// ----- cosines -----

// A vector in a unit in which its squares are in range; that is 1 for floats.
template <typename T>
struct Scaled {
    const T* x;
    double inverse = 1;

    template <typename C = double>
    [[gnu::always_inline]] C at(const std::size_t i) const {
        if constexpr (sizeof(T) == 4)
            return static_cast<C>(x[i]);
        else
            return x[i] * inverse;
    }
};

template <typename T>
inline Scaled<T> in_range(const std::size_t n, const T* const x) {
    const T top = greatest<T>(n, [&](const std::size_t i) { return x[i]; });
    return {x, top > 1 ? inverse_near(top) : 1};
}

template <typename T>
struct Cosine {
    double product, xx, yy;  // x . y, and x . x and y . y with eps

    Cosine(const std::size_t n, const Scaled<T> x, const Scaled<T> y) {
        const auto sums = totals<3>(n, [&](const std::size_t i, const auto& to) {
            const double a = x.at(i), b = y.at(i);
            to(0) += a * b;
            to(1) += a * a;
            to(2) += b * b;
        });
        product = sums.of[0];
        xx = sums.of[1] + COSINE_EPS * x.inverse * x.inverse;
        yy = sums.of[2] + COSINE_EPS * y.inverse * y.inverse;
    }
};

template <typename T>
struct CosineEmbedding {
    static double of(Rows<T>& rows, const std::int64_t row, const double weight) {
        const PairwiseCall& call = rows.call;
        const std::size_t n = rows.width;
        Scaled<T> x{rows.operand(0, row)}, y{rows.operand(1, row)};
        Cosine<T> sums(n, x, y);
        if constexpr (sizeof(T) == 8)
            if (!(sums.xx * sums.yy < infinity<double>))
                sums = Cosine<T>(n, x = in_range(n, x.x), y = in_range(n, y.x));
        const double lengths = sqrt(sums.xx * sums.yy), cosine = sums.product / lengths;
        const double target = static_cast<double>(number<T>(call.target, row));
        const auto loss = cosine_embedding<double>(cosine, target, call.margin);
        const double slope = loss[1] * weight;
        const auto gradient = [&](const int k, const Scaled<T> own, const double square, const Scaled<T> other) {
            const double across = slope / lengths * own.inverse, along = -slope * cosine / square * own.inverse;
            in_type_of<T>(
                [&](const auto across, const auto along) {
                    using C = std::remove_const_t<decltype(across)>;
                    rows.gradient(k, row, [=](const std::size_t i) {
                        return across * other.template at<C>(i) + along * own.template at<C>(i);
                    });
                },
                across, along);
        };
        gradient(0, x, sums.xx, y);
        gradient(1, y, sums.yy, x);
        return loss[0];
    }
};

// ----- distances -----

template <typename T, template <typename> class Distance>
struct Contrastive {
    static double of(Rows<T>& rows, const std::int64_t row, const double weight) {
        const PairwiseCall& call = rows.call;
        const double target = number<double>(call.target, row);
        const bool similar = target == call.similar;
        if (!similar && target != call.dissimilar) {
            rows.outside = true;
            return 0;
        }
        const Distance<T> apart(rows, rows.operand(0, row), rows.operand(1, row), 0);
        double loss = 0, slope = 0;
        in_type_of<typename Distance<T>::Compared>(
            [&](const auto distance, const auto margin, const auto positive_margin) {
                using C = std::remove_const_t<decltype(distance)>;
                const C sign = similar ? 1 : -1;
                const auto result = call.squared ? contrastive<C>(distance, sign, margin, positive_margin)
                                                 : contrastive_hinge<C>(distance, sign, margin, positive_margin);
                loss = result[0], slope = result[1];
            },
            apart.distance, call.margin, call.positive_margin);
        in_type_of<T>(
            // the distance is looked at too: where it is beyond floats a difference may be
            [&](const auto factor, auto) {
                using C = std::remove_const_t<decltype(factor)>;
                rows.gradient(0, row, [&](const std::size_t i) { return factor * apart.template direction<C>(i); });
                rows.gradient(1, row, [&](const std::size_t i) { return -factor * apart.template direction<C>(i); });
            },
            slope * weight * apart.slope, apart.distance);
        return loss;
    }
};

template <typename T, template <typename> class Distance>
struct TripletMargin {
    static double of(Rows<T>& rows, const std::int64_t row, const double weight) {
        const bool swap = rows.call.swap;
        const T *const anchor = rows.operand(0, row), *const positive = rows.operand(1, row);
        const T* const negative = rows.operand(2, row);
        const Distance<T> near(rows, anchor, positive, 0), far(rows, anchor, negative, 1);
        const Distance<T> other = swap ? Distance<T>(rows, positive, negative, 2) : far;
        double loss = 0, share = 0, near_slope = 0, far_slope = 0;
        const bool squared = rows.call.squared;
        const auto measured = [&](const Distance<T>& d) { return squared ? d.distance * d.distance : d.distance; };
        const auto slope = [&](const Distance<T>& d) {
            if (!squared) return d.slope;
            // of a sum of squares it is 2, also where the distance is infinite
            return rows.call.p == 2 && d.distance == infinity<double> ? 2.0 : 2 * d.distance * d.slope;
        };
        in_type_of<typename Distance<T>::Compared>(
            [&](const auto to_positive, const auto to_negative, const auto instead, const auto margin) {
                const auto result = triplet(to_positive, minimum(to_negative, instead), margin);
                loss = result[0], near_slope = result[1], far_slope = result[2];
                // as torch.minimum: each of two equal distances has half of the gradient
                share = !swap || to_negative < instead ? 1 : to_negative == instead ? 0.5 : 0;
            },
            measured(near), measured(far), measured(other), rows.call.margin);
        const double of_near = near_slope * weight * slope(near), of_far = far_slope * share * weight * slope(far);
        const double of_other = far_slope * (1 - share) * weight * slope(other);
        in_type_of<T>(
            // the distances are looked at too: where one is beyond floats a difference may be
            [&](const auto of_near, const auto of_far, const auto of_other, auto...) {
                using C = std::remove_const_t<decltype(of_near)>;
                const auto near_at = [&](const std::size_t i) { return of_near * near.template direction<C>(i); };
                const auto far_at = [&](const std::size_t i) { return of_far * far.template direction<C>(i); };
                const auto other_at = [&](const std::size_t i) { return of_other * other.template direction<C>(i); };
                rows.gradient(0, row, [&](const std::size_t i) { return near_at(i) + far_at(i); });
                if (swap) {
                    rows.gradient(1, row, [&](const std::size_t i) { return other_at(i) - near_at(i); });
                    rows.gradient(2, row, [&](const std::size_t i) { return -far_at(i) - other_at(i); });
                } else {
                    rows.gradient(1, row, [&](const std::size_t i) { return -near_at(i); });
                    rows.gradient(2, row, [&](const std::size_t i) { return -far_at(i); });
                }
            },
            of_near, of_far, of_other, near.distance, far.distance, other.distance);
        return loss;
    }
};

// ----- the loop -----

template <typename T, typename Loss>
void run_piece(const PairwiseCall& call, const std::int64_t piece, const int thread) {
    Rows<T> rows(call, thread);
    const std::int64_t begin = piece * pairwise_rows(call), next = begin + pairwise_rows(call);
    const std::int64_t end = next < call.rows ? next : call.rows;
    double sum = 0;
    for (std::int64_t row = begin; row < end; ++row) {
        T value = 0;
        if (!call.mask.data || call.mask.data[row * call.mask.stride]) {
            double weight = 1;
            for (int k = 0; k < call.factors; ++k) weight *= number<double>(call.factor[k], row);
            value = static_cast<T>(Loss::of(rows, row, weight * call.scale) * weight);
        } else {
            rows.blank(row);
        }
        sum += static_cast<double>(value);
        if (call.values.data) {
            const auto size = static_cast<std::int64_t>(size_of(call.values.dtype));
            store(&value, call.values.data + row * call.values.stride * size, call.values.dtype, 1, 1);
        }
    }
    call.partials[piece] = {sum, rows.outside};
}

template <typename T, template <typename, template <typename> class> class Loss>
auto piece_of(const PairwiseCall& call) {
    if (call.p == 2) return run_piece<T, Loss<T, Euclidean>>;
    if (call.p == 1) return run_piece<T, Loss<T, Manhattan>>;
    if (call.p == infinity<double>) return run_piece<T, Loss<T, Greatest>>;
    return run_piece<T, Loss<T, Minkowski>>;
}

template <typename T>
auto piece_of(const PairwiseCall& call) {
    switch (call.loss) {
        case PairwiseLoss::cosine_embedding: return run_piece<T, CosineEmbedding<T>>;
        case PairwiseLoss::contrastive: return piece_of<T, Contrastive>(call);
        default: return piece_of<T, TripletMargin>(call);
    }
}

void run(const PairwiseCall& call) {
    const auto run_one = call.wide ? piece_of<double>(call) : piece_of<float>(call);
    const std::int64_t pieces = pairwise_pieces(call);
    const int threads = pieces < call.threads ? static_cast<int>(pieces) : call.threads;
    in_parallel(pieces, threads, [&](const std::int64_t piece) {
        // without a region of its own the number would be that of the caller's
        run_one(call, piece, threads > 1 ? omp_get_thread_num() : 0);
    });
}

}  // namespace

extern const PairwiseKernels pairwise_kernels;
const PairwiseKernels pairwise_kernels = {run};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
