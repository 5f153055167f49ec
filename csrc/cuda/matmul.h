// Matrix products through cuBLASLt, which is opened when the first object is made.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "core/tensor.h"
#include "cuda/device.h"

namespace internvl::cuda {

/// The functions of cuBLASLt that are used.
struct CublasLt {
  /// Looks into `folders`, then where the system does. Throws DeviceError if there is none.
  explicit CublasLt(const std::vector<std::string>& folders);

  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
  decltype(&cublasLtMatmulDescCreate) create_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
};

class Matmul {
 public:
  Matmul(std::shared_ptr<Device> device, const std::vector<std::string>& folders);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  /// out = x W^T + bias, or, with `accumulate`, out += x W^T + bias; sums are float32. x (rows, k)
  /// and the contiguous weight (n, k) are of one dtype, out (rows, n) is of theirs or float32; bias
  /// has n elements of the dtype of `out`, or is null. The algorithm of a shape is chosen once.
  void operator()(Tensor out, Tensor x, Tensor weight, const void* bias, bool accumulate);

 private:
  struct Operands;
  // rows, n, k, strides of out and x, their dtypes, alignments, bias, accumulate
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         DType, DType, std::uint32_t, bool, bool>;

  cublasLtMatmulAlgo_t algorithm(const Key& key, const Operands& operands);
  cublasLtMatmulAlgo_t choose(const Operands& operands) const;

  std::shared_ptr<Device> device_;
  const CublasLt lt_;
  cublasLtHandle_t handle_ = nullptr;
  Buffer workspace_;
  std::mutex mutex_;  // of algorithms_
  std::map<Key, cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace internvl::cuda
