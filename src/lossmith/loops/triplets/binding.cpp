// The kernels of mined triplets for Python: embeddings and labels to losses, gradients, counts or indices.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/parallel.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(TripletsKernels, triplets_kernels)

namespace lossmith {

namespace {

using Index = std::int64_t;

// One number for each sample, or one for all.
struct Numbers {
    const char* data;
    Dtype dtype;
    Index stride;

    Numbers(nb::handle given, const Index rows) {
        const DLTensor view = view_of(given);
        if (view.ndim > 1 || (view.ndim == 1 && view.shape[0] != rows && view.shape[0] != 1))
            throw nb::value_error("there must be one number for each sample, or one for all");
        data = static_cast<const char*>(view.data);
        dtype = dtype_of(view);
        stride = view.ndim == 0 || view.shape[0] == 1 ? 0 : view.strides[0];
    }
    double operator[](const Index row) const { return load_one<double>(data, dtype, row * stride); }
};

// The samples that count, and who is of whose class.
struct Classes {
    std::vector<std::int64_t> place, first;
    std::vector<std::int32_t> members, count;
    Index largest = 0;

    Classes(const DLTensor& labels, const Numbers* const mask) {
        const Index rows = labels.shape[0];
        for (Index i = 0; i < rows; ++i)
            if (!mask || (*mask)[i] != 0) place.push_back(i);
        const char* const data = static_cast<const char*>(labels.data);
        std::vector<std::int64_t> label(place.size());
        for (std::size_t i = 0; i < place.size(); ++i)
            label[i] = index_at(data, dtype_of(labels), place[i] * labels.strides[0]);
        members.resize(place.size());
        std::iota(members.begin(), members.end(), 0);
        std::stable_sort(members.begin(), members.end(), [&](const auto a, const auto b) { return label[a] < label[b]; });
        first.resize(place.size());
        count.resize(place.size());
        for (std::size_t begin = 0, end = 0; begin < members.size(); begin = end) {
            while (end < members.size() && label[members[end]] == label[members[begin]]) ++end;
            for (std::size_t m = begin; m < end; ++m) {
                first[members[m]] = static_cast<std::int64_t>(begin);
                count[members[m]] = static_cast<std::int32_t>(end - begin);
            }
            largest = std::max(largest, static_cast<Index>(end - begin));
        }
    }
};

// Writes a number, rounded to the compute type first.
void put(const double x, const bool wide, const DLTensor& to, const Index at) {
    char* const place = static_cast<char*>(to.data) + at * static_cast<Index>(size_of(dtype_of(to)));
    const float rounded = static_cast<float>(x);
    wide ? store<double>(&x, place, dtype_of(to), 1, 1) : store<float>(&rounded, place, dtype_of(to), 1, 1);
}

// The gradients of the samples that count into the rows of a matrix, times `scale`; 0 in the other rows.
template <typename T>
void hand_out(const double* const from, const Classes& classes, const double scale, const DLTensor& to,
              const int threads) {
    const Index width = to.shape[1], bytes = static_cast<Index>(size_of(dtype_of(to)));
    char* const data = static_cast<char*>(to.data);
    const auto row = [&](const Index i) { return data + i * to.strides[0] * bytes; };
    std::vector<char> counts(static_cast<std::size_t>(to.shape[0]));
    for (const Index i : classes.place) counts[static_cast<std::size_t>(i)] = 1;
    in_parallel(static_cast<Index>(classes.place.size()), threads, [&](const Index i) {
        constexpr Index BLOCK = 256;
        T block[BLOCK];
        for (Index begin = 0; begin < width; begin += BLOCK) {
            const Index n = std::min(BLOCK, width - begin);
            for (Index k = 0; k < n; ++k) block[k] = static_cast<T>(from[i * width + begin + k] * scale);
            store<T>(block, row(classes.place[static_cast<std::size_t>(i)]) + begin * to.strides[1] * bytes,
                     dtype_of(to), to.strides[1], static_cast<std::size_t>(n));
        }
    });
    const T zero = 0;
    for (Index i = 0; i < to.shape[0]; ++i)
        for (Index k = 0; !counts[static_cast<std::size_t>(i)] && k < width; ++k)
            store<T>(&zero, row(i) + k * to.strides[1] * bytes, dtype_of(to), 1, 1);
}

TripletsCall::Account* accounts_of(nb::handle given, const Index rows) {
    const DLTensor view = view_of(given);
    if (view.ndim != 2 || view.shape[0] != rows || view.shape[1] != 4 || dtype_of(view) != Dtype::f64 ||
        (rows > 0 && (view.strides[0] != 4 || view.strides[1] != 1)))
        throw nb::value_error("there must be four numbers for each sample");
    return static_cast<TripletsCall::Account*>(view.data);
}

// What is mined, and how: miner, every pair, soft, squared, normalize, wide, margin, cutoff, nonzero_loss_cutoff, seed.
void settle(const nb::tuple& settings, TripletsCall& call) {
    if (settings.size() != 10) throw nb::value_error("triplets have ten settings");
    const int miner = nb::cast<int>(settings[0]);
    if (miner < 0 || miner > 3) throw nb::value_error("there are four miners");
    call.miner = static_cast<Miner>(miner);
    call.every_pair = nb::cast<bool>(settings[1]), call.soft = nb::cast<bool>(settings[2]);
    call.squared = nb::cast<bool>(settings[3]), call.normalize = nb::cast<bool>(settings[4]);
    call.wide = nb::cast<bool>(settings[5]);
    call.margin = nb::cast<double>(settings[6]);
    call.cutoff = nb::cast<double>(settings[7]), call.nonzero_loss_cutoff = nb::cast<double>(settings[8]);
    call.seed = static_cast<std::uint64_t>(nb::cast<std::int64_t>(settings[9]));
}

// The losses of the anchors into `value`, or their sum divided by `divisor`; below 0 that is the sum of the numbers of
// triplets (-1) or of active ones (-2), times the factors, and what is divided by 0 may be 0. Gradients are of the same,
// times `scale`.
void triplets(const nb::tuple& settings, nb::handle vectors, nb::handle labels, const nb::tuple& factors,
              nb::handle mask, double scale, double divisor, bool zero_if_empty, nb::handle value, nb::handle gradient,
              nb::handle account, nb::handle chosen, int threads) {
    TripletsCall call;
    settle(settings, call);
    const DLTensor samples = view_of(vectors), classified = view_of(labels);
    if (samples.ndim != 2 || classified.ndim != 1 || classified.shape[0] != samples.shape[0])
        throw nb::value_error("there must be a label for each vector");
    if (dtype_of(samples) > Dtype::bf16 || dtype_of(classified) < Dtype::i8 || dtype_of(classified) > Dtype::u64)
        throw nb::type_error("vectors must be floating, labels integers");
    const Index rows = samples.shape[0];
    if (rows > std::numeric_limits<std::int32_t>::max()) throw nb::value_error("too many samples for one batch");
    std::vector<Numbers> weights;
    for (nb::handle factor : factors) weights.emplace_back(factor, rows);
    std::unique_ptr<Numbers> masked;
    if (!mask.is_none()) masked = std::make_unique<Numbers>(mask, rows);
    DLTensor result{}, slopes{}, indices{};
    if (!value.is_none()) {
        result = view_of(value);
        if (dtype_of(result) > Dtype::bf16) throw nb::type_error("a loss must be floating");
        if (divisor == 0 ? result.ndim != 1 || result.shape[0] != rows : count_of(result) != 1)
            throw nb::value_error("there must be a loss for each sample, or one number");
    }
    if (!gradient.is_none()) {
        slopes = view_of(gradient);
        if (slopes.ndim != 2 || slopes.shape[0] != rows || slopes.shape[1] != samples.shape[1] ||
            dtype_of(slopes) > Dtype::bf16)
            throw nb::value_error("a gradient must have the shape of the vectors");
        advise(slopes);
    }
    TripletsCall::Account* const told = account.is_none() ? nullptr : accounts_of(account, rows);
    if (!chosen.is_none()) {
        indices = view_of(chosen);
        if (indices.ndim != 2 || indices.shape[0] != 3 || dtype_of(indices) != Dtype::i64)
            throw nb::value_error("indices are three rows of integers");
    }

    nb::gil_scoped_release unlocked;
    const Classes classes(classified, masked.get());
    call.rows = static_cast<Index>(classes.place.size()), call.width = samples.shape[1];
    call.vectors = static_cast<const char*>(samples.data), call.dtype = dtype_of(samples);
    call.row_stride = samples.strides[0], call.inner_stride = samples.strides[1];
    call.place = classes.place.data(), call.members = classes.members.data();
    call.first = classes.first.data(), call.count = classes.count.data(), call.largest = classes.largest;
    call.threads = threads_for(call.rows * call.rows * (call.width + 1), threads);
    const std::size_t samples_that_count = classes.place.size();
    std::vector<double> factor(weights.empty() ? 0 : samples_that_count, 1.0), loss(samples_that_count);
    for (const Numbers& numbers : weights)
        for (std::size_t i = 0; i < factor.size(); ++i) factor[i] *= numbers[classes.place[i]];
    if (!weights.empty()) call.factor = factor.data();
    std::vector<TripletsCall::Account> accounts(samples_that_count);
    call.loss = loss.data(), call.account = accounts.data();
    std::unique_ptr<double[]> sums;
    if (slopes.data) {
        sums.reset(new double[static_cast<std::size_t>(call.rows * call.width) + 1]);
        call.gradient = sums.get();
    }
    std::vector<std::int64_t> slot;
    if (indices.data) {
        Index next = 0;
        for (const std::int32_t count : classes.count) {
            slot.push_back(next);
            next += call.miner == Miner::batch_hard ? 1 : count - 1;
        }
        if (next != indices.shape[1]) throw std::runtime_error("there is other room than that for the indices");
        call.chosen = static_cast<std::int64_t*>(indices.data), call.slot = slot.data(), call.slots = next;
    }
    chosen_triplets_kernels().run(call);

    double total = 0, shares = 0;
    for (std::size_t i = 0; i < samples_that_count; ++i) {
        const double weight = call.factor ? factor[i] : 1;
        loss[i] *= weight;
        total += loss[i];
        shares += weight * (divisor == -2 ? accounts[i].active : accounts[i].triplets);
    }
    const bool each = divisor == 0;
    if (divisor < 0) divisor = shares;
    if (result.data && each) {
        for (Index i = 0; i < rows; ++i) put(0, call.wide, result, i * result.strides[0]);
        for (std::size_t i = 0; i < samples_that_count; ++i)
            put(loss[i], call.wide, result, classes.place[i] * result.strides[0]);
    } else if (result.data) {
        put(divisor == 0 && zero_if_empty ? 0 : total / divisor, call.wide, result, 0);
    }
    if (slopes.data) {
        if (!each) scale = divisor == 0 ? 0 : scale / divisor;  // the sum of nothing has no slope
        call.wide ? hand_out<double>(sums.get(), classes, scale, slopes, call.threads)
                  : hand_out<float>(sums.get(), classes, scale, slopes, call.threads);
    }
    if (told) {
        std::memset(static_cast<void*>(told), 0, static_cast<std::size_t>(rows) * sizeof(*told));
        for (std::size_t i = 0; i < samples_that_count; ++i) told[classes.place[i]] = accounts[i];
    }
}

}  // namespace

void bind_triplets(nb::module_& module) {
    module.def("triplets", &triplets, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(),
               nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg());
}

}  // namespace lossmith
