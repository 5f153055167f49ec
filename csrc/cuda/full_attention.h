// The vision transformer's attention, by the faster of two implementations: our kernels, and
// cuDNN's on GPUs of compute capability 9.0 or newer.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/cudnn_attention.h"
#include "cuda/device.h"

namespace internvl::cuda {

/// Is told what a user may want to know; may be empty.
using Log = std::function<void(const std::string&)>;

class FullAttention {
 public:
  /// `choice`: "native", "cudnn", or "auto" for the faster one. Throws InvalidArgument for others,
  /// and, for "cudnn", DeviceError saying what is missing where it cannot be had.
  FullAttention(std::shared_ptr<Device> device, const std::vector<std::string>& folders,
                const std::string& choice, Log log);

  /// As Backend::attention. The first time that "auto" meets a shape, it runs and times both: all
  /// models of this process that meet it on this GPU then get the same one, so that results do not
  /// change between calls. The shape has tokens and heads, not the number of sequences: what a
  /// sequence gets does not depend on those beside it.
  void operator()(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads, float scale);

 private:
  struct Call;

  void native(const Call& call) const;
  CudnnAttention& cudnn();
  bool is_cudnn_faster(const Call& call);
  bool measure(const Call& call, std::string& reason);

  std::shared_ptr<Device> device_;
  std::vector<std::string> folders_;
  std::string choice_;
  Log log_;
  std::mutex mutex_;  // of cudnn_
  std::unique_ptr<CudnnAttention> cudnn_;
};

}  // namespace internvl::cuda
