// Tensors, layouts, memory, instruction sets and threads, as the bindings of all loops use them.
#include "python.h"

#include "numbers.h"

#include <pthread.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <numeric>
#include <string_view>

namespace lossmith {

namespace {

struct Exchange {  // DLPackExchangeAPI
    struct {
        std::uint32_t major, minor;
    } version;
    void* previous;
    void* allocate;
    void* to_managed;
    void* from_managed;
    int (*look)(void* object, DLTensor* out);
    void* stream;
};

PyTypeObject* tensor_type = nullptr;
PyTypeObject* parameter_type = nullptr;
const Exchange* exchange = nullptr;
PyObject* is_neg = nullptr;

}  // namespace

void use_torch(nb::object tensor, nb::object parameter) {
    PyObject* const capsule = PyObject_GetAttrString(tensor.ptr(), "__dlpack_c_exchange_api__");
    if (!capsule) throw nb::python_error();
    exchange = static_cast<const Exchange*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
    Py_DECREF(capsule);
    if (!exchange) throw nb::python_error();
    if (exchange->version.major != 1 || !exchange->look) {
        exchange = nullptr;
        throw std::runtime_error("this torch has another DLPack exchange table than version 1");
    }
    // kept for as long as the process lives
    tensor_type = reinterpret_cast<PyTypeObject*>(tensor.release().ptr());
    parameter_type = reinterpret_cast<PyTypeObject*>(parameter.release().ptr());
    is_neg = PyUnicode_InternFromString("is_neg");
}

std::int64_t count_of(const DLTensor& view) {
    return std::accumulate(view.shape, view.shape + view.ndim, std::int64_t(1), std::multiplies<>());
}

bool is_plain(nb::handle object, DLTensor& view) {
    PyTypeObject* const type = Py_TYPE(object.ptr());
    if ((type != tensor_type && type != parameter_type) || !exchange) return false;
    if (exchange->look(object.ptr(), &view) != 0) {
        PyErr_Clear();  // a layout or a device that has no address
        return false;
    }
    if (view.ndim > MAX_DIMS || view.device.device_type != 1 || view.dtype.lanes != 1 || dtype_of(view) == Dtype::other) return false;
    if (!view.data && count_of(view) != 0) return false;
    PyObject* self[] = {object.ptr()};
    PyObject* const negated = PyObject_VectorcallMethod(is_neg, self, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
    if (!negated) throw nb::python_error();
    Py_DECREF(negated);
    view.data = static_cast<char*>(view.data) + view.byte_offset;
    return negated == Py_False;
}

DLTensor view_of(nb::handle object) {
    DLTensor view;
    if (!is_plain(object, view)) throw nb::type_error("a kernel was given something else than a plain CPU tensor");
    return view;
}

Dtype dtype_of(const DLTensor& view) {
    const int bits = view.dtype.bits;
    switch (view.dtype.code) {
        case 0: return bits == 8 ? Dtype::i8 : bits == 16 ? Dtype::i16 : bits == 32 ? Dtype::i32 : Dtype::i64;
        case 1: return bits == 8 ? Dtype::u8 : bits == 16 ? Dtype::u16 : bits == 32 ? Dtype::u32 : Dtype::u64;
        case 2: return bits == 16 ? Dtype::f16 : bits == 32 ? Dtype::f32 : bits == 64 ? Dtype::f64 : Dtype::other;
        case 4: return bits == 16 ? Dtype::bf16 : Dtype::other;
        case 6: return bits == 8 ? Dtype::boolean : Dtype::other;
        default: return Dtype::other;
    }
}

// ----- layouts -----

void Layout::grow(const DLTensor& view) {
    for (; dims_ < view.ndim; ++dims_) {
        for (int d = dims_; d > 0; --d) sizes_[d] = sizes_[d - 1];
        sizes_[0] = 1;
    }
    for (int d = 0; d < view.ndim; ++d) {
        std::int64_t& size = sizes_[dims_ - view.ndim + d];
        if (size == 1) size = view.shape[d];
        else if (view.shape[d] != size && view.shape[d] != 1) throw nb::value_error("shapes do not broadcast together");
    }
}

void Layout::add(const DLTensor& view, Strided& out) {
    if (view.ndim > dims_) throw nb::value_error("a tensor has more dimensions than the loss");
    if (tensors_ == MAX_TENSORS) throw nb::value_error("too many tensors");
    Entry& entry = entries_[tensors_++];
    entry.out = &out;
    const int lacking = dims_ - view.ndim;
    for (int d = 0; d < dims_; ++d) {
        const std::int64_t size = d < lacking ? 1 : view.shape[d - lacking];
        if (size != sizes_[d] && size != 1) throw nb::value_error("a tensor does not broadcast to the shape of the loss");
        entry.strides[d] = size == 1 ? 0 : view.strides[d - lacking];
    }
    out.data = static_cast<char*>(view.data);
    out.dtype = dtype_of(view);
}

void Layout::simplify(Shape& shape) {
    int order[MAX_DIMS], count = 0;
    shape.count = 1;
    for (int d = 0; d < dims_; ++d) {
        shape.count *= sizes_[d];
        if (sizes_[d] != 1) order[count++] = d;
    }
    // what runs slowest in memory comes first; where a tensor is repeated, the next one decides
    const auto slower = [&](const int a, const int b) {
        for (int t = 0; t < tensors_; ++t) {
            const std::int64_t left = entries_[t].strides[a], right = entries_[t].strides[b];
            if (left != right && left != 0 && right != 0) return left > right;
        }
        return false;
    };
    // by insertion: few dimensions, and the comparison need not be transitive where tensors are repeated
    for (int i = 1; i < count; ++i)
        for (int j = i; j > 0 && slower(order[j], order[j - 1]); --j) std::swap(order[j], order[j - 1]);
    shape.dims = 0;
    int last = -1;  // the last original dimension of the joined one
    for (int i = 0; i < count; ++i) {
        const int d = order[i];
        bool runs_on = last >= 0;
        for (int t = 0; runs_on && t < tensors_; ++t)
            runs_on = entries_[t].strides[last] == entries_[t].strides[d] * sizes_[d];
        if (runs_on) {
            shape.size[shape.dims - 1] *= sizes_[d];
        } else {
            shape.size[shape.dims++] = sizes_[d];
        }
        last = d;
        for (int t = 0; t < tensors_; ++t) entries_[t].out->stride[shape.dims - 1] = entries_[t].strides[d];
    }
    if (shape.dims == 0) {
        shape.dims = 1;
        shape.size[0] = 1;
        for (int t = 0; t < tensors_; ++t) entries_[t].out->stride[0] = 0;
    }
}

// ----- memory -----

void advise(const DLTensor& view) {
#ifdef MADV_HUGEPAGE
    // below this size the allocator hands out memory that it has kept, whose pages are there already
    constexpr std::uintptr_t FRESH = std::uintptr_t(1) << 25, HUGE_PAGE = std::uintptr_t(1) << 21;
    const std::uintptr_t bytes = static_cast<std::uintptr_t>(count_of(view)) * (view.dtype.bits / 8);
    const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(view.data);
    const std::uintptr_t begin = (from + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), end = (from + bytes) & ~(HUGE_PAGE - 1);
    if (bytes >= FRESH && end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    (void)view;
#endif
}

// ----- instruction sets -----

namespace {

Isa best() {
#ifdef LOSSMITH_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("fma"))
        return Isa::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        return Isa::avx2;
#endif
    return Isa::portable;
}

Isa in_use = best();

}  // namespace

Isa isa() {
    return in_use;
}

// ----- threads -----

namespace {

std::atomic<bool> forked{false};
const int watching = pthread_atfork(nullptr, nullptr, [] { forked = true; });
constexpr std::int64_t ENOUGH_FOR_THREADS = 32768;

}  // namespace

int threads_for(const std::int64_t elements, const int wished) {
    return elements < ENOUGH_FOR_THREADS || forked ? 1 : wished;
}

}  // namespace lossmith

// ----- the module -----

NB_MODULE(_core, module) {
    using namespace lossmith;
    // a graph that is alive when Python ends keeps what its kernels know
    nb::set_leak_warnings(false);
    static const char* const names[] = {"portable", "avx2", "avx512"};
    module.doc() = "The compiled kernels. lossmith.native is the way to them.";
    module.def("use_torch", &use_torch);
    // -1: something is no plain tensor; 0: plain tensors; 1 to 4: of one shape and of one dtype, f32, f64, f16, bf16
    module.def("survey", [](nb::args objects) {
        DLTensor first, view;
        bool alike = true;
        for (std::size_t i = 0; i < objects.size(); ++i) {
            DLTensor& place = i == 0 ? first : view;
            if (!is_plain(objects[i], place)) return -1;
            if (i > 0 && alike)
                alike = view.dtype.code == first.dtype.code && view.dtype.bits == first.dtype.bits &&
                        view.ndim == first.ndim && std::equal(view.shape, view.shape + view.ndim, first.shape);
        }
        const Dtype dtype = objects.size() == 0 ? Dtype::other : dtype_of(first);
        return alike && dtype <= Dtype::bf16 ? 1 + static_cast<int>(dtype) : 0;
    });
    // The same of scores (N, C, ...) with int64 labels, of the shape without C, or `sets` of them, of the scores' shape:
    // 1 to 4, or 0
    module.def("survey_rows", [](nb::handle scores, nb::handle labels, bool sets) {
        DLTensor rows, aims;
        if (!is_plain(scores, rows) || !is_plain(labels, aims) || dtype_of(aims) != Dtype::i64) return 0;
        if (dtype_of(rows) > Dtype::bf16 || rows.ndim < 2 || rows.shape[1] == 0) return 0;
        bool fit = aims.ndim == rows.ndim - (sets ? 0 : 1);
        for (int d = 0, e = 0; fit && d < rows.ndim; ++d)
            if (sets || d != 1) fit = aims.shape[e++] == rows.shape[d];
        return fit ? 1 + static_cast<int>(dtype_of(rows)) : 0;
    });
    // What a plain tensor of one number holds; None if it is no such tensor.
    module.def("number", [](nb::handle object) -> nb::object {
        DLTensor view;
        if (!is_plain(object, view) || count_of(view) != 1) return nb::none();
        return nb::float_(load_one<double>(static_cast<const char*>(view.data), dtype_of(view)));
    });
    module.def("isa", [] { return names[static_cast<int>(isa())]; });
    module.def("available", [] {
        nb::list found;
        for (int i = 0; i <= static_cast<int>(best()); ++i) found.append(names[i]);
        return found;
    });
    module.def("use_isa", [](const char* const name) {
        for (int i = 0; i <= static_cast<int>(best()); ++i)
            if (std::string_view(name) == names[i]) {
                in_use = static_cast<Isa>(i);
                return;
            }
        throw nb::value_error("this processor has no such instruction set");
    });
    bind_pointwise(module);
    bind_rowwise(module);
    bind_pairwise(module);
    bind_similarity(module);
    bind_triplets(module);
    bind_lattice(module);
    bind_transport(module);
    bind_overlap(module);
}
