// Full attention by cuDNN's fused kernels.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "core/tensor.h"
#include "cuda/cudnn.h"
#include "cuda/device.h"

namespace internvl::cuda {

class CudnnAttention {
 public:
  /// Opens cuDNN. Throws DeviceError, saying what to install, where it is missing or too old.
  CudnnAttention(std::shared_ptr<Device> device, const std::vector<std::string>& folders);
  ~CudnnAttention();
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  /// Whether the operands are float16 or bfloat16, rows and heads at multiples of 16 bytes: what
  /// cuDNN's kernels read, unchecked.
  static bool accepts(Tensor out, Tensor qkv, std::int64_t head_dim);

  /// As Backend::attention. Throws DeviceError for operands that it does not accept, and where
  /// cuDNN has no kernel for their shape. The kernel of a shape is chosen once.
  void operator()(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads, float scale);

 private:
  struct Plan;
  struct Shape {
    DType dtype;
    std::int64_t sequences, heads, tokens, head_dim, out_stride, qkv_stride;
    auto key() const {
      return std::tie(dtype, sequences, heads, tokens, head_dim, out_stride, qkv_stride);
    }
    bool operator<(const Shape& other) const { return key() < other.key(); }
  };

  const Plan& plan(const Shape& shape);

  std::shared_ptr<Device> device_;
  const Cudnn cudnn_;
  CudnnHandle handle_ = nullptr;
  std::mutex mutex_;  // of plans_, and of the handle, which has a stream
  std::map<Shape, std::unique_ptr<Plan>> plans_;
};

}  // namespace internvl::cuda
