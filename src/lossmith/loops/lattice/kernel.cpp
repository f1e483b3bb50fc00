// CTC's lattice: the recursion of ctc.py, forward for the loss of each sample, backward for its gradient.
//
// A probability is held as m * 2^e, with e in a double of its own: its range is that of a logarithm, but sums and
// products take neither exponentials nor logarithms, and what they lose does not grow with the loss. Exponentials are
// left for the scores alone, one for each frame and label.
//
// A frame's states stand before its own scores are multiplied in: forward, for all ways that lead there, backward, for
// all that lead on. So the step to the next frame is the same function both ways, and a state is used as often as the
// product of the two and its score says. Forward states are kept only where a segment of frames begins; backward, each
// segment is computed again from there, within the cache.
#include "kernel.h"

#include <cstring>

#include "lossmith/formula/vocabularies/cpp.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"

namespace lossmith {
inline namespace LOSSMITH_ISA {

constexpr std::int64_t SEGMENT = 32;
constexpr std::int64_t LANES = 8;  // rows are padded to a multiple, so that loops leave no rest
constexpr std::int64_t AHEAD = 4;  // frames: too far apart in memory for the processor to foresee the next
constexpr double INFINITE = __builtin_inf();
constexpr double LN2 = 0x1.62e42fefa39efp-1, LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;

// ----- numbers of any range -----

// m * 2^e with a whole e; 0 is 0 * 2^-inf. Over a segment m may drift away from 1, by less than 2^-17 to 2^69.
struct Scaled {
    double m, e;
};

// 2^n for a whole n from -1023, where it is 0, to 1023.
[[gnu::always_inline]] inline double power_of_two(const double n) {
    // the sum's last bits are n + 1023: moved to where a double has its exponent
    const std::uint64_t bits = __builtin_bit_cast(std::uint64_t, n + (0x1.8p52 + 1023));
    return __builtin_bit_cast(double, bits << 52);
}

[[gnu::always_inline]] inline Scaled operator*(const Scaled a, const Scaled b) {
    return {a.m * b.m, a.e + b.e};
}

[[gnu::always_inline]] inline Scaled operator+(const Scaled a, const Scaled b) {
    // 2^-200 of the other is lost beside it, however far m has drifted; the bound also takes the NaN of inf - inf
    constexpr double LOST = -200;
    const double e = a.e > b.e ? a.e : b.e, of_a = a.e - e, of_b = b.e - e;
    return {a.m * power_of_two(of_a > LOST ? of_a : LOST) + b.m * power_of_two(of_b > LOST ? of_b : LOST), e};
}

// ----- the states of a frame -----

// Blanks 0 ... S, labels 0 ... S - 1; label i stands between blanks i and i + 1. What pads them: blanks that are
// nothing, the last one serving as label -1 too, and labels of any finite value, whose scores are nothing.
struct States {
    double* at;
    std::int64_t width;

    [[gnu::always_inline]] Scaled blank(const std::int64_t j) const { return {at[j], at[2 * width + j]}; }
    [[gnu::always_inline]] Scaled label(const std::int64_t i) const { return {at[width + i], at[3 * width + i]}; }
    [[gnu::always_inline]] void set_blank(const std::int64_t j, const Scaled x) const {
        at[j] = x.m;
        at[2 * width + j] = x.e;
    }
    [[gnu::always_inline]] void set_label(const std::int64_t i, const Scaled x) const {
        at[width + i] = x.m;
        at[3 * width + i] = x.e;
    }
};

// The scores of a frame: the blank's, then those of the labels, then nothing.
struct Scores {
    double* at;
    std::int64_t width;

    [[gnu::always_inline]] Scaled blank() const { return {at[0], at[width]}; }
    [[gnu::always_inline]] Scaled label(const std::int64_t i) const { return {at[i + 1], at[width + i + 1]}; }
};

// Only one blank, and the label beside it if there is one, begin or end an alignment.
inline void start(const States states, const std::int64_t blank, const std::int64_t label, const bool labels) {
    for (std::int64_t j = 0; j < 2 * states.width; ++j) states.at[j] = 0;
    for (std::int64_t j = 2 * states.width; j < 4 * states.width; ++j) states.at[j] = -INFINITE;
    states.set_blank(blank, {1, 0});
    if (labels) states.set_label(label, {1, 0});
}

// The states of the next frame or, if `back` is 1, of the one before it: then what lies behind a state leads to it.
// skip[j] is 1 where label j may follow label j - 1 at once, without blank j between them.
inline void advance(const States from, const Scores scores, const double* const skip, const std::int64_t back,
                    const States to) {
    const std::int64_t width = from.width & -LANES;
    const Scaled blank_score = scores.blank();
#pragma GCC ivdep
    for (std::int64_t j = 0; j < width; ++j) {
        const std::int64_t i = j - 1 + back;  // the label before the blank or, backward, behind it
        to.set_blank(j, from.blank(j) * blank_score + from.label(i) * scores.label(i));
    }
#pragma GCC ivdep
    for (std::int64_t i = 0; i < width; ++i) {
        const std::int64_t j = i + back;  // the blank before the label or, backward, behind it
        const Scaled only_blank = from.blank(j) * blank_score, both = to.blank(j);
        const bool may_skip = skip[j] != 0;
        const Scaled beside = {may_skip ? both.m : only_blank.m, may_skip ? both.e : only_blank.e};
        to.set_label(i, from.label(i) * scores.label(i) + beside);
    }
}

// Brings each m into 1 to 2.
inline void normalise(const States states) {
    const std::int64_t half = 2 * states.width & -LANES;
    double *const m = states.at, *const e = states.at + half;
#pragma GCC ivdep
    for (std::int64_t j = 0; j < half; ++j) {
        const std::uint64_t bits = __builtin_bit_cast(std::uint64_t, m[j]);
        const double exponent = __builtin_bit_cast(double, bits >> 52 | 0x4330000000000000u) - (0x1p52 + 1023);
        const double scaled = __builtin_bit_cast(double, (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
        m[j] = e[j] > -INFINITE ? scaled : 0;
        e[j] += exponent;
    }
}

// The greatest of n numbers, of which NaN counts as infinite.
inline double greatest(const double* const x, const std::int64_t n) {
    double found = -INFINITE;
#pragma omp simd reduction(max : found)
    for (std::int64_t i = 0; i < n; ++i) {
        const double known = x[i] < INFINITE ? x[i] : INFINITE;
        found = known > found ? known : found;
    }
    return found;
}

// ----- memory -----

template <typename S>
inline void gather(const char* const from, const std::int64_t* const at, const std::int64_t n,
                   const std::int64_t ahead, double* const to) {
    const S* const source = reinterpret_cast<const S*>(from);
    for (std::int64_t i = 0; i < n; ++i) {
        __builtin_prefetch(source + at[i] + ahead);
        to[i] = widen<double>(source[at[i]]);
    }
}

template <typename S>
inline void scatter(const double* const from, const std::int64_t* const index, const std::int64_t stride,
                    const std::int64_t n, const double factor, char* const to) {
    S* const place = reinterpret_cast<S*>(to);
    for (std::int64_t i = 0; i < n; ++i) place[index[i] * stride] = narrow<S>(from[index[i]] * factor);
}

inline char* row_of(const Strided& tensor, const std::int64_t frame, const std::int64_t sample) {
    const std::int64_t size = static_cast<std::int64_t>(size_of(tensor.dtype));
    return tensor.data + (frame * tensor.stride[FRAME] + sample * tensor.stride[SAMPLE]) * size;
}

inline void clear(const Strided& tensor, char* const row, const std::int64_t classes) {
    const std::size_t size = size_of(tensor.dtype);
    if (tensor.stride[CLASS] == 1) {
        std::memset(row, 0, static_cast<std::size_t>(classes) * size);
    } else {
        for (std::int64_t c = 0; c < classes; ++c)
            std::memset(row + c * tensor.stride[CLASS] * static_cast<std::int64_t>(size), 0, size);
    }
}

// ----- one sample after another -----

class Lattice {
  public:
    // Room for any sample of a call, in a scratch or, without one, only measured.
    Lattice(const LatticeCall& call, char* const scratch) : call_(call) {
        std::int64_t longest = 0;
        for (std::int64_t n = 0; n < call.samples; ++n)
            if ((!call.used || call.used[n]) && call.target_lengths[n] > longest) longest = call.target_lengths[n];
        width_ = padded(longest + 2);
        const bool gradient = call.gradient.data;
        next_ = (reinterpret_cast<std::uintptr_t>(scratch) + 63) / 64 * 64;
        const std::uintptr_t begin = next_;
        checkpoints_ = take<double>((call.frames / SEGMENT + 2) * 4 * width_);
        segment_ = take<double>(SEGMENT * 4 * width_);
        scores_ = take<double>(SEGMENT * 2 * (width_ + LANES));
        given_ = take<double>(width_ + LANES);
        skip_ = take<double>(width_ + LANES);
        class_ = take<std::int64_t>(width_);
        address_ = take<std::int64_t>(width_);
        common_ = take<double>(call.frames);
        row_ = take<double>(call.logits || gradient ? call.classes : 0);
        greatest_ = take<double>(call.logits && gradient ? call.frames : 0);
        inverse_ = take<double>(call.logits && gradient ? call.frames : 0);
        for (double*& future : future_) future = take<double>(gradient ? 4 * width_ : 0);
        share_ = take<double>(gradient ? 4 * width_ : 0);
        bytes = static_cast<std::size_t>(next_ - begin) + 64;
        if (scratch && gradient) std::memset(row_, 0, static_cast<std::size_t>(call.classes) * sizeof(double));
    }

    void run(const std::int64_t sample) {
        sample_ = sample;
        const bool used = !call_.used || call_.used[sample];
        double loss = 0;
        frames_ = 0;
        if (used) {
            prepare();
            loss = forward();
        }
        call_.losses[sample] = loss;
        if (!call_.gradient.data) return;
        if (loss == INFINITE) frames_ = 0;
        for (std::int64_t t = frames_; t < call_.frames; ++t)
            clear(call_.gradient, row_of(call_.gradient, t, sample), call_.classes);
        if (loss != loss) spoil();
        else backward();
    }

    std::size_t bytes;

  private:
    static std::int64_t padded(const std::int64_t n) { return (n + LANES - 1) / LANES * LANES; }

    template <typename T>
    T* take(const std::int64_t count) {
        T* const taken = reinterpret_cast<T*>(next_);
        next_ += static_cast<std::uintptr_t>(padded(count)) * 8;
        return taken;
    }

    // The forward states before frame t: those that begin a segment are kept.
    States past(const std::int64_t t) const {
        double* const at = t % SEGMENT == 0 ? checkpoints_ + t / SEGMENT * 4 * width_
                                            : segment_ + t % SEGMENT * 4 * width_;
        return {at, width_};
    }

    Scores scores(const std::int64_t t) const {
        return {scores_ + t % SEGMENT * 2 * (width_ + LANES), width_ + LANES};
    }

    void prepare() {
        frames_ = call_.input_lengths[sample_];
        labels_ = call_.target_lengths[sample_];
        width_ = padded(labels_ + 2);
        class_[0] = call_.blank;
        for (std::int64_t i = 0; i < labels_; ++i) class_[i + 1] = call_.labels[call_.label_begin[sample_] + i];
        for (std::int64_t i = 0; i <= labels_; ++i) address_[i] = class_[i] * call_.scores.stride[CLASS];
        for (std::int64_t i = 0; i < width_ + LANES; ++i) skip_[i] = 0;
        for (std::int64_t i = 1; i < labels_; ++i) skip_[i] = class_[i + 1] != class_[i];
    }

    // Reads the scores of a frame, shifted by the greatest of them: it is returned, or NaN if one is NaN or +inf.
    double read_scores(const std::int64_t t) const {
        const char* const from = row_of(call_.scores, t, sample_);
        const std::int64_t n = labels_ + 1, ahead = t + AHEAD < frames_ ? AHEAD * call_.scores.stride[FRAME] : 0;
        switch (call_.scores.dtype) {
            case Dtype::f32: gather<float>(from, address_, n, ahead, given_); break;
            case Dtype::f64: gather<double>(from, address_, n, ahead, given_); break;
            case Dtype::f16: gather<Half>(from, address_, n, ahead, given_); break;
            default: gather<Brain>(from, address_, n, ahead, given_);
        }
        const std::int64_t width = (width_ + LANES) & -LANES;
        for (std::int64_t j = n; j < width; ++j) given_[j] = -INFINITE;
        const double top = greatest(given_, width), shift = top > -INFINITE ? top : 0;
        double *const m = scores(t).at, *const e = m + width;
#pragma GCC ivdep
        for (std::int64_t j = 0; j < width; ++j) {
            constexpr double WHOLE = 0x1.8p52;  // added and subtracted, it rounds to a whole number
            const double x = given_[j] - shift;
            e[j] = x * (1 / LN2) + WHOLE - WHOLE;
            given_[j] = e[j] > -0x1p51 ? x - e[j] * LN2_HIGH - e[j] * LN2_LOW : 0;  // from there on it is all rounding
        }
#pragma GCC ivdep
        for (std::int64_t j = 0; j < width; ++j) m[j] = exp(given_[j]);
#pragma GCC ivdep
        for (std::int64_t j = 0; j < width; ++j) m[j] = e[j] > -INFINITE ? m[j] : 0;
        return top < INFINITE ? shift : __builtin_nan("");
    }

    void load_row(const std::int64_t t) const {
        load<double>(row_of(call_.scores, t, sample_), call_.scores.dtype, call_.scores.stride[CLASS],
                     static_cast<std::size_t>(call_.classes), row_);
    }

    // The log-probability that belongs to a score of a frame.
    double log_softmax(const std::int64_t t, const double score) const {
        load_row(t);
        const double top = greatest(row_, call_.classes);
        for (std::int64_t c = 0; c < call_.classes; ++c) row_[c] = exp(row_[c] - top);
        const double total = sum(row_, static_cast<std::size_t>(call_.classes));
        if (call_.gradient.data) {
            greatest_[t] = top;
            inverse_[t] = 1 / total;
        }
        return score - top - log(total);
    }

    double forward() const {
        start(past(0), 0, 0, labels_ > 0);
        for (std::int64_t t = 0; t < frames_; ++t) {
            common_[t] = read_scores(t);
            if (call_.logits) common_[t] = log_softmax(t, common_[t]);
            if (common_[t] != common_[t]) return common_[t];
            advance(past(t), scores(t), skip_, 0, past(t + 1));
            if ((t + 1) % SEGMENT == 0) normalise(past(t + 1));
        }
        // what all states of a frame have in common is summed apart: the smaller the sums, the less their rounding
        const Scaled total = past(frames_).blank(labels_);
        return 0 - (log(total.m) + total.e * LN2 + sum(common_, static_cast<std::size_t>(frames_)));
    }

    void backward() {
        start({future_[0], width_}, labels_, labels_ - 1, labels_ > 0);
        for (std::int64_t end = frames_; end > 0;) {
            const std::int64_t begin = (end - 1) / SEGMENT * SEGMENT;
            if (end != frames_) {  // the last segment is still there
                for (std::int64_t t = begin; t < end; ++t) {
                    read_scores(t);
                    if (t + 1 < end) advance(past(t), scores(t), skip_, 0, past(t + 1));
                }
            }
            for (std::int64_t t = end - 1; t >= begin; --t) {
                const States future = {future_[0], width_}, before = {future_[1], width_};
                occupy(past(t), scores(t), future);
                write_gradient(t);
                advance(future, scores(t), skip_, 1, before);
                future_[0] = before.at;
                future_[1] = future.at;
            }
            normalise({future_[0], width_});
            end = begin;
        }
    }

    // How likely each state of a frame is used: compared by a softmax, so that they sum to 1 whatever was rounded
    // before. The blanks' sum is left in share_[0], the labels' shares follow.
    void occupy(const States past, const Scores scores, const States future) const {
        const std::int64_t width = width_ & -LANES;
        double *const m = share_, *const e = share_ + 2 * width;
        const Scaled blank_score = scores.blank();
#pragma GCC ivdep
        for (std::int64_t j = 0; j < width; ++j) {
            const Scaled blank = past.blank(j) * blank_score * future.blank(j);
            const Scaled label = past.label(j) * scores.label(j) * future.label(j);
            m[j] = blank.m;
            e[j] = blank.e;
            m[width + j] = label.m;
            e[width + j] = label.e;
        }
        const double top = greatest(e, 2 * width);
#pragma GCC ivdep
        for (std::int64_t j = 0; j < 2 * width; ++j) {
            const double power = e[j] - top;
            m[j] *= power_of_two(power > -1023 ? power : -1023);
        }
        const double blanks = sum(m, static_cast<std::size_t>(width));
        const double all = blanks + sum(m + width, static_cast<std::size_t>(width)), inverse = all > 0 ? 1 / all : 0;
        e[0] = blanks * inverse;
#pragma GCC ivdep
        for (std::int64_t i = 0; i < width; ++i) e[i + 1] = m[width + i] * inverse;
    }

    void write_gradient(const std::int64_t t) const {
        char* const to = row_of(call_.gradient, t, sample_);
        const Dtype dtype = call_.gradient.dtype;
        const std::int64_t stride = call_.gradient.stride[CLASS], n = labels_ + 1, classes = call_.classes;
        const double factor = call_.factors[sample_], *const share = share_ + 2 * width_;
        if (call_.logits) {
            load_row(t);
            const double top = greatest_[t], inverse = inverse_[t];
            for (std::int64_t c = 0; c < classes; ++c) row_[c] = exp(row_[c] - top) * inverse;
            for (std::int64_t j = 0; j < n; ++j) row_[class_[j]] -= share[j];
            for (std::int64_t c = 0; c < classes; ++c) row_[c] *= factor;
            store(row_, to, dtype, stride, static_cast<std::size_t>(classes));
            return;
        }
        // of many classes few are used: the row stays 0 elsewhere, and becomes 0 again
        clear(call_.gradient, to, classes);
        for (std::int64_t j = 0; j < n; ++j) row_[class_[j]] -= share[j];
        switch (dtype) {
            case Dtype::f32: scatter<float>(row_, class_, stride, n, factor, to); break;
            case Dtype::f64: scatter<double>(row_, class_, stride, n, factor, to); break;
            case Dtype::f16: scatter<Half>(row_, class_, stride, n, factor, to); break;
            default: scatter<Brain>(row_, class_, stride, n, factor, to);
        }
        for (std::int64_t j = 0; j < n; ++j) row_[class_[j]] = 0;
    }

    // A gradient of NaN, where the loss is NaN.
    void spoil() const {
        for (std::int64_t j = 0; j <= labels_; ++j) share_[2 * width_ + j] = __builtin_nan("");
        for (std::int64_t t = 0; t < frames_; ++t) {
            if (call_.logits) greatest_[t] = inverse_[t] = __builtin_nan("");
            write_gradient(t);
        }
    }

    const LatticeCall& call_;
    std::uintptr_t next_;
    std::int64_t width_, sample_ = 0, frames_ = 0, labels_ = 0;
    double *checkpoints_, *segment_, *future_[2];
    double *given_, *scores_, *skip_, *common_;  // of a frame; of a segment; of the labels; of all frames
    double *row_, *greatest_, *inverse_;         // of a frame's classes; their softmax, of all frames
    double* share_;
    std::int64_t *class_, *address_;
};

// ----- the call -----

static std::size_t scratch(const LatticeCall& call) {
    return Lattice(call, nullptr).bytes;
}

// Each thread has neighbouring samples, about as much work as another. No result depends on which.
static void run(const LatticeCall& call) {
    const std::int64_t pieces = call.threads < 1 ? 1 : call.threads < call.samples ? call.threads : call.samples;
    const auto work = [&](const std::int64_t n) {
        if (call.used && !call.used[n]) return 1.0;
        const std::int64_t labels = call.target_lengths[n] + 1, classes = call.logits ? call.classes : 0;
        return 1.0 + static_cast<double>(call.input_lengths[n]) * static_cast<double>(labels + classes);
    };
    double all = 0;
    for (std::int64_t n = 0; n < call.samples; ++n) all += work(n);
    const std::size_t room = scratch(call);
    in_parallel(pieces, static_cast<int>(pieces), [&](const std::int64_t piece) {
        Lattice lattice(call, call.scratch + static_cast<std::size_t>(piece) * room);
        double before = 0;
        for (std::int64_t n = 0; n < call.samples; ++n) {
            const double middle = before + work(n) / 2;
            before += work(n);
            if (static_cast<std::int64_t>(middle / all * static_cast<double>(pieces)) == piece) lattice.run(n);
        }
    });
}

extern const LatticeKernels lattice_kernels;
const LatticeKernels lattice_kernels = {run, scratch};

}  // inline namespace LOSSMITH_ISA
}  // namespace lossmith
