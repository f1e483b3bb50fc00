// The call of the similarity kernels: plain data, filled by the caller, run by kernel.cpp of one instruction set.
//
// A tile holds the similarities of some rows with all columns. A kernel makes the losses of its rows and leaves the
// derivative in each similarity where the similarity stood.
#pragma once

#include <cstdint>

namespace lossmith {

enum class SimilarityLoss : std::int32_t {
    pairs,         // of each positive: -log(exp(it) / (exp(it) + the negatives' sum)), added up
    supcon_out,    // the mean over the positives of -log(exp(it) / the sum of all)
    supcon_in,     // -log of the mean over the positives of exp(it) / the sum of all
    sigmoid,       // softplus of every similarity, of the positives' opposite
};

// What a positive's cosine becomes before it is scaled.
enum class CosineMargin : std::int32_t { none, added, angular };

struct SimilarityCall {
    SimilarityLoss loss = SimilarityLoss::pairs;
    CosineMargin margin_kind = CosineMargin::none;
    double margin = 0;
    bool easy = false;  // an angular margin where the cosine is above 0 alone
    bool wide = false;  // the tile is of doubles, else of floats
    std::int64_t rows = 0, columns = 0;
    void* tile = nullptr;            // rows x columns, one row after another
    double scale = 1, bias = 0;      // a logit is scale * similarity + bias
    std::int64_t start = 0;          // the tile's first row: what follows is indexed by the row of the whole
    const std::int64_t* match = nullptr;  // each row's positive; without it all columns of the row's label are
    // columns by label, and where those of each row's label begin and end: besides a match, they are no negatives
    const std::int64_t *order = nullptr, *first = nullptr, *last = nullptr;
    const std::int64_t* own = nullptr;     // each row's own column, which is left out; -1: none
    const bool* kept = nullptr;            // rows that count; the others have no loss
    const std::int64_t* hidden = nullptr;  // columns that are left out of all rows
    std::int64_t hidden_count = 0;
    const double* factor = nullptr;  // of each row's gradient; absent: no gradient is wanted
    double* losses = nullptr;
    double* slopes = nullptr;        // the sum of each row's derivatives in its logits, if it is wanted
    // Of a loss in both directions: the logarithm of each row's sum over the negatives; the columns' while they are summed,
    // as the greatest logit and the sum over its exponential; then, of the tile's type, the logarithms (0 for none) and
    // what multiplies the derivatives.
    double *row_log = nullptr, *column_top = nullptr, *column_sum = nullptr;
    const void *column_log = nullptr, *column_factor = nullptr;
    int threads = 1;
};

struct SimilarityKernels {
    // The loss of every row of the tile, and its derivatives in place.
    void (*rows)(const SimilarityCall&);
    // Of a loss in both directions (pairs that match, row i with column i): first the sums of all tiles ...
    void (*sums)(const SimilarityCall&);
    // ... then, from the same similarities, the derivatives in place.
    void (*derivatives)(const SimilarityCall&);
};

}  // namespace lossmith
