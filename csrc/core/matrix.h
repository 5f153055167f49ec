// A matrix that owns its memory.
#pragma once

#include "core/buffer.h"
#include "core/tensor.h"

namespace internvl {

/// Contiguous if it was made from a buffer; a matrix made from a tensor alone is a view.
class Matrix {
 public:
  Matrix() = default;
  Matrix(Buffer storage, DType dtype, std::int64_t rows, std::int64_t cols)
      : tensor_{storage.data(), dtype, rows, cols, cols, storage.place()},
        storage_(std::move(storage)) {}
  explicit Matrix(Tensor view) : tensor_(view) {}

  operator Tensor() const { return tensor_; }
  const Tensor& tensor() const { return tensor_; }
  Buffer take_storage() && { return std::move(storage_); }

 private:
  Tensor tensor_;
  Buffer storage_;
};

}  // namespace internvl
