// The call of the rowwise kernels: plain data, filled by binding.cpp, run by kernel.cpp of one instruction set.
#pragma once

#include <cstdint>

#include "lossmith/native/tensor.h"

namespace lossmith {

enum class RowLoss : int { softmax_labels, softmax_probabilities, pick, margin_to_label, margins_of_set, distillation,
                           focal_labels, focal_probabilities };

// Of a teacher's distribution and a student's: of the teacher from the student, of the student from the teacher, or of
// each from a mixture of both, in which the teacher has the share beta.
enum class Divergence : int { forward, reverse, js };

struct Distillation {
    Divergence divergence = Divergence::forward;
    double temperature = 1;
    double alpha = 1;  // the share of the divergence; the rest is that of the labels
    double beta = 0.5;
};

// Functions here are static: each build of the kernels must have its own.

// What a piece of the work adds to the result.
struct RowPartial {
    double total = 0;
    bool outside = false;  // a label is out of range: its row was not computed
};

struct RowwiseCall {
    RowLoss loss = RowLoss::softmax_labels;
    bool wide = false;           // computed in double, else in float
    Shape rows;                  // the shape of the unreduced loss
    std::int64_t classes = 0;
    Strided input;               // seen over the rows; the steps are from class to class
    std::int64_t input_step = 1;
    Strided labels;              // of the rows, for losses that have them
    Strided target;              // a number for each class, for losses that have those
    std::int64_t target_step = 1;
    const void* class_weight = nullptr;  // of the compute type
    double weight_sum = 0;               // of all classes; their number without weights
    bool ignores = false;
    std::int64_t ignored = 0;
    double smoothing = 0, margin = 1, gamma = 0;
    int power = 1;
    Distillation distillation;
    int factors = 0;
    Strided factor[2];           // multiply the loss of a row and its gradient
    Strided mask;                // bool, for each row; what is False there is never looked at
    double scale = 1;            // multiplies the gradients
    Strided value;               // the unreduced loss, if it is wanted
    Strided gradient, target_gradient;
    std::int64_t gradient_step = 1, target_gradient_step = 1;
    RowPartial* partials = nullptr;  // one for each piece
    char* scratch = nullptr;         // of one thread after the other
    std::int64_t scratch_bytes = 0;  // of each
    int threads = 1;
};

// Rows that are prepared together: a tile, of one run along the last dimension.
inline constexpr std::int64_t TILE = 64;

// Below so many classes a tile is turned, so that its rows lie side by side in vectors.
inline constexpr std::int64_t FEW_CLASSES = 48;

// Rows of one thread's piece, whose sums are added in their order.
static inline std::int64_t rows_of_piece(const RowwiseCall& call) {
    const std::int64_t rows = 16384 / (call.classes > 0 ? call.classes : 1);
    return rows < TILE ? (rows < 1 ? 1 : rows) : rows / TILE * TILE;
}

static inline std::int64_t pieces_of(const RowwiseCall& call) {
    const std::int64_t rows = rows_of_piece(call);
    return (call.rows.count + rows - 1) / rows;
}

// Whether a softmax is taken against labels; against a number for each class.
static inline bool takes_labels(const RowLoss loss) {
    return loss == RowLoss::softmax_labels || loss == RowLoss::focal_labels;
}
static inline bool takes_numbers(const RowLoss loss) {
    return loss == RowLoss::softmax_probabilities || loss == RowLoss::focal_probabilities || loss == RowLoss::distillation;
}

// Whether vectors run across the rows of a tile: they lie side by side, or are short.
static inline bool runs_across(const RowwiseCall& call) {
    if (!takes_labels(call.loss) && !takes_numbers(call.loss)) return false;
    if (call.rows.count < 8) return false;
    if (call.input_step == 1 || call.classes == 1) return call.classes < FEW_CLASSES;
    return call.input.stride[call.rows.dims - 1] == 1;
}

// Room for the input, the target and both gradients of a tile, and for up to three numbers more for each class; or
// for a few rows.
static inline std::int64_t scratch_of(const RowwiseCall& call) {
    if (call.loss == RowLoss::pick) return 0;
    const std::int64_t tiles = call.loss == RowLoss::distillation ? 7 : call.loss == RowLoss::focal_probabilities ? 5 : 4;
    const std::int64_t rows = runs_across(call) ? tiles * TILE : 8;
    return (rows * call.classes + 64) * static_cast<std::int64_t>(sizeof(double));
}

struct RowwiseKernels {
    void (*run)(const RowwiseCall&);
    // The sum over the rows that count of their factors, times the class weight of their label if there are weights.
    void (*weigh)(const RowwiseCall&);
};

}  // namespace lossmith
