// Elements of rows in any dtype, four at a time.
#pragma once

#include "core/tensor.h"
#include "cuda/kernels/device.cuh"

namespace internvl::cuda {

/// Calls body(T{}) with the type of `dtype`'s elements.
template <class Body>
void with_element(DType dtype, Body body) {
  switch (dtype) {
    case DType::kFloat32: return body(float{});
    case DType::kBFloat16: return body(BFloat16{});
    case DType::kFloat16: return body(Float16{});
  }
}

/// Elements of a thread: consecutive, so that they are one access of 8 or 16 bytes where the row is
/// aligned to that.
constexpr int kQuad = 4;

/// Four elements in registers.
template <class T>
struct alignas(kQuad * sizeof(T)) Quad {
  T elements[kQuad];
};

/// Whether the rows of a matrix can be read by quads. Null can.
inline bool has_quads(const void* data, DType dtype, std::int64_t stride) {
  return stride % kQuad == 0 &&
         reinterpret_cast<std::uintptr_t>(data) % (kQuad * size_of(dtype)) == 0;
}

inline bool has_quads(const Tensor& tensor) {
  return has_quads(tensor.data, tensor.dtype, tensor.stride);
}

/// row[first ... first + 3] as float32, zeros from `cols` on.
template <class T>
__device__ __forceinline__ void load_quad(float (&values)[kQuad], const T* row, std::int64_t first,
                                          std::int64_t cols, bool aligned) {
  if (aligned && first + kQuad <= cols) {
    const Quad<T> quad = load_vector(reinterpret_cast<const Quad<T>*>(row + first));
    for (int i = 0; i < kQuad; ++i) values[i] = widen(quad.elements[i]);
  } else {
    for (int i = 0; i < kQuad; ++i) values[i] = first + i < cols ? widen(row[first + i]) : 0.0f;
  }
}

/// The inverse: rounds, and leaves what lies at and behind `cols` alone.
template <class T>
__device__ __forceinline__ void store_quad(T* row, std::int64_t first, std::int64_t cols,
                                           const float (&values)[kQuad], bool aligned) {
  if (aligned && first + kQuad <= cols) {
    Quad<T> quad;
    for (int i = 0; i < kQuad; ++i) quad.elements[i] = narrow<T>(values[i]);
    store_vector(reinterpret_cast<Quad<T>*>(row + first), quad);
  } else {
    for (int i = 0; i < kQuad; ++i) {
      if (first + i < cols) row[first + i] = narrow<T>(values[i]);
    }
  }
}

}  // namespace internvl::cuda
