#include <map>
#include <tuple>

#include "core/error.h"
#include "cuda/full_attention.h"
#include "cuda/kernels/kernels.h"
#include "cuda/stopwatch.h"

namespace internvl::cuda {
namespace {

constexpr int kOldestForCudnn = 9;  // compute capability

/// What "auto" has chosen in this process.
struct Choices {
  // device, dtype, tokens, heads, columns of a head
  using Shape = std::tuple<int, DType, std::int64_t, std::int64_t, std::int64_t>;

  std::mutex mutex;
  std::map<Shape, bool> is_cudnn;
};

Choices& choices() {
  static Choices of_this_process;
  return of_this_process;
}

}  // namespace

struct FullAttention::Call {
  Tensor out, qkv;
  std::int64_t tokens, heads;
  float scale;

  std::int64_t head_dim() const { return out.cols / heads; }
};

FullAttention::FullAttention(std::shared_ptr<Device> device,
                             const std::vector<std::string>& folders, const std::string& choice,
                             Log log)
    : device_(std::move(device)), folders_(folders), choice_(choice), log_(std::move(log)) {
  check(choice == "auto" || choice == "native" || choice == "cudnn",
        "attention (INTERNVL_NATIVE_CUDA_ATTENTION): expected auto, native or cudnn, got '", choice,
        "'");
  const bool is_new = capability(device_->index()) >= kOldestForCudnn;
  if (choice == "auto" && !is_new) choice_ = "native";
  if (choice != "cudnn") return;
  check<DeviceError>(is_new, "INTERNVL_NATIVE_CUDA_ATTENTION=cudnn: cuda:", device_->index(),
                     " is older than NVIDIA's Hopper (compute capability 9.0): set it to auto");
  cudnn();
}

void FullAttention::operator()(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                               float scale) {
  const Call call{out, qkv, tokens, heads, scale};
  const bool by_cudnn = choice_ == "cudnn" || (choice_ == "auto" && qkv.rows > 0 && heads > 0 &&
                                               CudnnAttention::accepts(out, qkv, call.head_dim()) &&
                                               is_cudnn_faster(call));
  if (by_cudnn) return cudnn()(out, qkv, tokens, heads, scale);
  native(call);
}

void FullAttention::native(const Call& call) const {
  const UseDevice use(device_->context());
  attention(device_->stream(), call.out, call.qkv, call.tokens, call.heads, call.scale);
}

CudnnAttention& FullAttention::cudnn() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (cudnn_ == nullptr) cudnn_ = std::make_unique<CudnnAttention>(device_, folders_);
  return *cudnn_;
}

bool FullAttention::is_cudnn_faster(const Call& call) {
  const Choices::Shape shape{device_->index(), call.qkv.dtype, call.tokens, call.heads,
                             call.head_dim()};
  std::string reason;
  bool chosen = false;
  {
    const std::lock_guard<std::mutex> lock(choices().mutex);
    const auto found = choices().is_cudnn.find(shape);
    if (found != choices().is_cudnn.end()) return found->second;
    chosen = measure(call, reason);
    choices().is_cudnn.emplace(shape, chosen);
  }
  // Without the lock: a log may wait for other threads.
  if (log_)
    log_(message("attention over ", call.tokens, " tokens, ", call.heads, " heads of ",
                 call.head_dim(), ", ", name_of(call.qkv.dtype), ", on cuda:", device_->index(),
                 ": ", chosen ? "cuDNN" : "native", " (", reason, ')'));
  return chosen;
}

/// Times both on the caller's operands, of which `out` is to be written anyway.
bool FullAttention::measure(const Call& call, std::string& reason) {
  try {
    CudnnAttention& other = cudnn();
    const float theirs = milliseconds(
        *device_, [&] { other(call.out, call.qkv, call.tokens, call.heads, call.scale); });
    const float ours = milliseconds(*device_, [&] { native(call); });
    reason = message("cuDNN ", theirs, " ms, native ", ours, " ms");
    return theirs < ours;
  } catch (const DeviceError& error) {
    reason = error.what();
    return false;
  }
}

}  // namespace internvl::cuda
