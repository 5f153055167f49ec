// A view of a matrix in backend memory. Everything the model computes on is a matrix of rows
// (tokens, patches, pixels of a tile); what a row means is said where the tensor is declared.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/place.h"

namespace internvl {

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  ///< elements from one row to the next
  Place place = Place::kHost;

  template <class T>
  T* row(std::int64_t r) const {
    return static_cast<T*>(data) + r * stride;
  }

  Tensor slice_rows(std::int64_t first, std::int64_t count) const {
    auto* base = static_cast<std::byte*>(data) + first * stride * size_of(dtype);
    return {base, dtype, count, cols, stride, place};
  }

  Tensor slice_cols(std::int64_t first, std::int64_t count) const {
    auto* base = static_cast<std::byte*>(data) + first * size_of(dtype);
    return {base, dtype, rows, count, stride, place};
  }
};

/// A contiguous matrix in the host's memory.
inline Tensor matrix(void* data, DType dtype, std::int64_t rows, std::int64_t cols) {
  return {data, dtype, rows, cols, cols};
}

}  // namespace internvl
