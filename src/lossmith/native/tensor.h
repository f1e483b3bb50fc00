// What kernels know of tensors: an address, a dtype and strides; plain data, shared by all instruction sets.
#pragma once

#include <cstdint>

namespace lossmith {

enum class Dtype : std::int32_t { f32, f64, f16, bf16, i8, i16, i32, i64, u8, u16, u32, u64, boolean, other };

inline constexpr int MAX_DIMS = 8;

// A tensor seen in the shape of a call: its strides (in elements) are 0 where it is broadcast. Without data it is absent.
struct Strided {
    char* data = nullptr;
    Dtype dtype = Dtype::other;
    std::int64_t stride[MAX_DIMS] = {};
};

// The shape that all tensors of a call are seen in, the last dimension running fastest.
struct Shape {
    int dims = 0;
    std::int64_t size[MAX_DIMS] = {};
    std::int64_t count = 0;
};

}  // namespace lossmith
