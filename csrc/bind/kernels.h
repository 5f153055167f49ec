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

/// A matrix in a backend's memory. Behind each row lie NaNs, as many as the backend's padding,
/// which no operation may read into a result or overwrite.
class PaddedMatrix {
 public:
  /// Of NaNs.
  PaddedMatrix(const KernelBackend& backend, DType dtype, std::int64_t rows, std::int64_t cols);
  /// Rounds a two-dimensional array to dtype. Throws InvalidArgument for another rank.
  PaddedMatrix(const KernelBackend& backend, const FloatArray& array, DType dtype);

  operator Tensor() const { return tensor_; }
  const Tensor& tensor() const { return tensor_; }
  /// As float32. Throws InternalError if the padding was overwritten.
  FloatArray array() const;

 private:
  PaddedMatrix(const KernelBackend& backend, Matrix host);

  KernelBackend backend_;
  Matrix storage_;  // its rows are as long as tensor_'s stride
  Tensor tensor_;
};

/// A norm of kind "rms" or "layer"; `bias` may be empty.
Norm prepare_norm(const KernelBackend& self, const std::string& kind, float eps,
                  const FloatArray& weight, const FloatArray& bias);

// One function a topic; bind_kernels calls them all.
void bind_row_kernels(pybind11::class_<KernelBackend>& backend);
void bind_attention_kernels(pybind11::module_& kernels, pybind11::class_<KernelBackend>& backend);
void bind_measurements(pybind11::module_& kernels, pybind11::class_<KernelBackend>& backend);
void bind_operations(pybind11::module_& kernels, pybind11::class_<KernelBackend>& backend);

}  // namespace internvl::bind
