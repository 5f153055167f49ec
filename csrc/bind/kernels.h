// What the files that bind the backend's operations for tests and benchmarks share: matrices that
// travel between numpy arrays of float32 and tensors of any dtype.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "backend/backend.h"
#include "bind/names.h"

namespace internvl::bind {

using FloatArray = pybind11::array_t<float, pybind11::array::c_style | pybind11::array::forcecast>;

/// `_core.kernels.Backend`
struct KernelBackend {
  std::shared_ptr<const Backend> backend;
  std::int64_t padding;  ///< elements behind each row of every matrix that operations get

  const Backend* operator->() const { return backend.get(); }
};

/// A tensor that owns its memory. Behind each row lie `padding` NaNs, which no operation may read
/// into a result or overwrite.
class Matrix {
 public:
  Matrix(DType dtype, std::int64_t rows, std::int64_t cols, std::int64_t padding);
  /// Rounds a two-dimensional array to dtype. Throws InvalidArgument for another rank.
  Matrix(const FloatArray& array, DType dtype, std::int64_t padding);

  Tensor tensor() const { return tensor_; }
  /// As float32. Throws InternalError if the padding was overwritten.
  FloatArray array() const;

 private:
  Buffer buffer_;
  Tensor tensor_;
  std::int64_t padding_;
};

// One function a topic; bind_kernels calls them all.
void bind_row_kernels(pybind11::class_<KernelBackend>& backend);
void bind_attention_kernels(pybind11::module_& kernels, pybind11::class_<KernelBackend>& backend);
void bind_measurements(pybind11::module_& kernels, pybind11::class_<KernelBackend>& backend);

}  // namespace internvl::bind
