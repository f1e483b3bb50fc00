// The similarity kernels for Python: a tile of similarities, and what is known of its rows and columns.
#include "kernel.h"
#include "lossmith/native/numbers.h"
#include "lossmith/native/python.h"

LOSSMITH_TABLES(SimilarityKernels, similarity_kernels)

namespace lossmith {

namespace {

// A contiguous vector of a dtype, or nothing.
template <typename T>
T* vector_of(nb::handle given, const Dtype dtype, const std::int64_t least) {
    if (given.is_none()) return nullptr;
    const DLTensor view = view_of(given);
    if (view.ndim != 1 || dtype_of(view) != dtype || view.shape[0] < least || (view.shape[0] > 1 && view.strides[0] != 1))
        throw nb::value_error("a vector of the rows or columns has another length, dtype or layout");
    return static_cast<T*>(view.data);
}

// The columns of a vector of indices all exist.
const std::int64_t* indices_of(nb::handle given, const std::int64_t least, const std::int64_t lowest, const std::int64_t end,
                               std::int64_t* count = nullptr) {
    const std::int64_t* const found = vector_of<std::int64_t>(given, Dtype::i64, least);
    if (!found) return nullptr;
    const std::int64_t length = view_of(given).shape[0];
    if (count) *count = length;
    for (std::int64_t i = 0; i < length; ++i)
        if (found[i] < lowest || found[i] >= end) throw nb::index_error("an index is out of range");
    return found;
}

// What is known of all rows and columns; checked once, then used for each tile.
struct Relation {
    SimilarityCall call;
    nb::list alive;  // what the addresses belong to
    std::int64_t rows, columns;

    Relation(std::int64_t rows, std::int64_t columns, nb::handle match, nb::handle order, nb::handle first, nb::handle last,
             nb::handle own, nb::handle kept, nb::handle hidden)
        : rows(rows), columns(columns) {
        call.match = indices_of(match, rows, 0, columns);
        call.order = indices_of(order, columns, 0, columns);
        call.first = indices_of(first, rows, 0, columns + 1);
        call.last = indices_of(last, rows, 0, columns + 1);
        if (!order.is_none() && (first.is_none() || last.is_none())) throw nb::value_error("an order of columns needs the ranges of rows");
        call.own = indices_of(own, rows, -1, columns);
        call.kept = vector_of<bool>(kept, Dtype::boolean, rows);
        call.hidden = indices_of(hidden, 0, 0, columns, &call.hidden_count);
        if (match.is_none() && order.is_none()) throw nb::value_error("nothing says which columns are positives");
        for (nb::handle each : {match, order, first, last, own, kept, hidden}) alive.append(each);
    }
};

void take_tile(SimilarityCall& call, const Relation& relation, nb::handle tile, const std::int64_t start, const int threads) {
    const DLTensor view = view_of(tile);
    const Dtype dtype = dtype_of(view);
    if (view.ndim != 2 || (dtype != Dtype::f32 && dtype != Dtype::f64) || view.shape[1] != relation.columns ||
        start < 0 || start + view.shape[0] > relation.rows || view.strides[1] != 1 || view.strides[0] != view.shape[1])
        throw nb::value_error("a tile must hold whole rows, one after another, of float32 or float64");
    call.wide = dtype == Dtype::f64;
    call.rows = view.shape[0], call.columns = view.shape[1], call.start = start, call.tile = view.data;
    call.threads = threads_for(call.rows * call.columns, threads);
}

void similarity_rows(const Relation& relation, nb::handle tile, std::int64_t start, int loss, double scale, double bias,
                     int margin_kind, double margin, bool easy, nb::handle factor, nb::handle losses, nb::handle slopes,
                     int threads) {
    SimilarityCall call = relation.call;
    if (loss < 0 || loss > static_cast<int>(SimilarityLoss::sigmoid) || margin_kind < 0 || margin_kind > 2)
        throw nb::value_error("no such loss");
    take_tile(call, relation, tile, start, threads);
    call.loss = static_cast<SimilarityLoss>(loss), call.margin_kind = static_cast<CosineMargin>(margin_kind);
    call.scale = scale, call.bias = bias, call.margin = margin, call.easy = easy;
    call.factor = vector_of<double>(factor, Dtype::f64, relation.rows);
    call.losses = vector_of<double>(losses, Dtype::f64, relation.rows);
    call.slopes = vector_of<double>(slopes, Dtype::f64, relation.rows);
    if (losses.is_none()) throw nb::value_error("there must be a loss for each row");
    nb::gil_scoped_release unlocked;
    chosen_similarity_kernels().rows(call);
}

void similarity_sums(const Relation& relation, nb::handle tile, std::int64_t start, double scale, nb::handle positives,
                     nb::handle row_log, nb::handle column_top, nb::handle column_sum, int threads) {
    SimilarityCall call = relation.call;
    take_tile(call, relation, tile, start, threads);
    call.scale = scale;
    call.losses = vector_of<double>(positives, Dtype::f64, relation.rows);
    call.row_log = vector_of<double>(row_log, Dtype::f64, relation.rows);
    call.column_top = vector_of<double>(column_top, Dtype::f64, relation.columns);
    call.column_sum = vector_of<double>(column_sum, Dtype::f64, relation.columns);
    if (relation.rows > relation.columns) throw nb::value_error("a row has no column of its own");
    nb::gil_scoped_release unlocked;
    chosen_similarity_kernels().sums(call);
}

void similarity_derivatives(const Relation& relation, nb::handle tile, std::int64_t start, double scale, nb::handle factor,
                            nb::handle row_log, nb::handle column_log, nb::handle column_factor, int threads) {
    SimilarityCall call = relation.call;
    take_tile(call, relation, tile, start, threads);
    const Dtype own = call.wide ? Dtype::f64 : Dtype::f32;
    call.scale = scale;
    call.factor = vector_of<double>(factor, Dtype::f64, relation.rows);
    call.row_log = vector_of<double>(row_log, Dtype::f64, relation.rows);
    call.column_log = vector_of<void>(column_log, own, relation.columns);
    call.column_factor = vector_of<void>(column_factor, own, relation.columns);
    if (relation.rows > relation.columns) throw nb::value_error("a row has no column of its own");
    nb::gil_scoped_release unlocked;
    chosen_similarity_kernels().derivatives(call);
}

}  // namespace

void bind_similarity(nb::module_& module) {
    nb::class_<Relation>(module, "Relation")
        .def(nb::init<std::int64_t, std::int64_t, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle, nb::handle,
                      nb::handle>(),
             nb::arg(), nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg().none(), nb::arg().none(),
             nb::arg().none(), nb::arg().none(), nb::arg().none());
    module.def("similarity_rows", &similarity_rows, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
               nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg().none(), nb::arg());
    module.def("similarity_sums", &similarity_sums);
    module.def("similarity_derivatives", &similarity_derivatives);
}

}  // namespace lossmith
