// How the kernels see what Python gives them: tensors through torch's DLPack exchange table, without linking to torch.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <cstdint>

#include "tensor.h"

namespace lossmith {

namespace nb = nanobind;

// ----- DLPack 1.x, as https://dmlc.github.io/dlpack/latest/c_api.html lays it out -----

struct DLDevice {
    std::int32_t device_type;  // 1: CPU
    std::int32_t device_id;
};
struct DLDataType {
    std::uint8_t code;  // 0 int, 1 unsigned, 2 float, 4 bfloat, 6 bool
    std::uint8_t bits;
    std::uint16_t lanes;
};
struct DLTensor {
    void* data;
    DLDevice device;
    std::int32_t ndim;
    DLDataType dtype;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t byte_offset;
};

// ----- tensors -----

// Takes torch.Tensor and torch.nn.Parameter, the only types that are looked into.
void use_torch(nb::object tensor_type, nb::object parameter_type);

// Whether an object is a plain strided CPU tensor with memory of its own: not negated lazily, no subclass, no wrapper;
// of at most MAX_DIMS dimensions.
// On success the view holds its address, dtype, shape and strides for as long as the object lives.
bool is_plain(nb::handle object, DLTensor& view);

// The same of an object that must be plain; throws TypeError.
DLTensor view_of(nb::handle object);

Dtype dtype_of(const DLTensor& view);
std::int64_t count_of(const DLTensor& view);

// ----- layouts -----

// Tensors in one shape: add() each, then simplify().
class Layout {
  public:
    // The shape that the tensors broadcast to; throws ValueError where they do not.
    void grow(const DLTensor& view);
    // A tensor seen in the shape, its strides 0 where it is repeated; throws ValueError if it would enlarge the shape.
    void add(const DLTensor& view, Strided& out);
    // Drops dimensions of 1, orders the others as the first tensor lies in memory, and joins what lies in one run.
    void simplify(Shape& shape);

  private:
    static constexpr int MAX_TENSORS = 16;
    int dims_ = 0, tensors_ = 0;
    std::int64_t sizes_[MAX_DIMS];
    struct Entry {
        Strided* out;
        std::int64_t strides[MAX_DIMS];
    } entries_[MAX_TENSORS];
};

// ----- memory -----

// Asks for huge pages under a large result before it is touched: a fresh page costs more than the arithmetic on it.
void advise(const DLTensor& view);

// ----- instruction sets -----

enum class Isa { portable, avx2, avx512 };
Isa isa();

// The kernels of the instruction set in use.
template <typename Kernels>
const Kernels& choose(const Kernels& portable, const Kernels& avx2, const Kernels& avx512) {
    return isa() == Isa::avx512 ? avx512 : isa() == Isa::avx2 ? avx2 : portable;
}

// ----- threads -----

// The number of threads for so many elements: one after a fork, since OpenMP's threads do not survive it.
int threads_for(std::int64_t elements, int wished);

// ----- each loop's functions for Python, in its own folder -----

void bind_pointwise(nb::module_& module);
void bind_rowwise(nb::module_& module);
void bind_pairwise(nb::module_& module);
void bind_similarity(nb::module_& module);
void bind_triplets(nb::module_& module);
void bind_lattice(nb::module_& module);
void bind_transport(nb::module_& module);
void bind_overlap(nb::module_& module);

}  // namespace lossmith

// Declares the three builds of a loop's kernel table.
#ifdef LOSSMITH_X86
#define LOSSMITH_TABLES(Kernels, name)                             \
    namespace lossmith {                                           \
    namespace portable {                                           \
    extern const Kernels name;                                     \
    }                                                              \
    namespace avx2 {                                               \
    extern const Kernels name;                                     \
    }                                                              \
    namespace avx512 {                                             \
    extern const Kernels name;                                     \
    }                                                              \
    static const Kernels& chosen_##name() {                        \
        return choose(portable::name, avx2::name, avx512::name);   \
    }                                                              \
    }
#else
#define LOSSMITH_TABLES(Kernels, name)                             \
    namespace lossmith {                                           \
    namespace portable {                                           \
    extern const Kernels name;                                     \
    }                                                              \
    static const Kernels& chosen_##name() {                        \
        return portable::name;                                     \
    }                                                              \
    }
#endif
