#include "cuda/device.h"

#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "cuda/status.h"

namespace internvl::cuda {
namespace {

constexpr const char* kNoDriver =
    "no NVIDIA driver: libcuda.so.1 is missing or older than this package's CUDA: install the "
    "driver (https://www.nvidia.com/drivers); nvidia-smi then lists the GPUs";
constexpr const char* kNoDevice =
    "the NVIDIA driver finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES";

constexpr const char* kTooOld =
    " is older than NVIDIA's Ampere (compute capability 8.0), for which this package has code";

std::size_t mebibytes(std::size_t bytes) { return bytes >> 20; }

/// Where the work of this thread goes that is meant for a device.
struct Redirected {
  const Device* device = nullptr;
  Stream stream = nullptr;
};
thread_local Redirected redirected;

/// `device`, if it is one.
int checked(int device) {
  const int count = device_count();
  check(device >= 0 && device < count, "device: expected cuda:0 to cuda:", count - 1,
        ", got cuda:", device);
  return device;
}

}  // namespace

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) throw DeviceError(kNoDriver);
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    throw DeviceError(kNoDevice);
  check_status(status, "cudaGetDeviceCount");
  return count;
}

int capability(int device) {
  int major = 0;
  check_status(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
               "cudaDeviceGetAttribute");
  return major;
}

bool is_supported(int device) {
  constexpr int kOldest = 8;
  return capability(device) >= kOldest;
}

MemoryInfo memory_info(int device) {
  const UseDevice use(PrimaryContext::of(checked(device)));
  return current_memory_info();
}

Device::Device(int index, std::size_t budget)
    : index_(checked(index)),
      budget_(budget == 0 ? SIZE_MAX : budget),
      context_(PrimaryContext::of(index)) {
  check<DeviceError>(is_supported(index), "cuda:", index, kTooOld);
  const UseDevice use(context_);
  pool_ = MemoryPool::of(index_);
  // Not the legacy stream, which waits for and holds up all others; torch's work is on those.
  check_status(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}

Device::~Device() {
  give_back(context_, [this] {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
    pool_.reset();
  });
}

Stream Device::stream() const { return redirected.device == this ? redirected.stream : stream_; }

Device::Redirection::Redirection(const Device& device, Stream stream) {
  check<InternalError>(redirected.device == nullptr, "cuda: a recording inside of another one");
  redirected = {&device, stream};
}

Device::Redirection::~Redirection() { redirected = {}; }

Buffer Device::allocate(std::size_t bytes) {
  if (bytes == 0) return {nullptr, 0, Place::kDevice};
  if (in_use_.fetch_add(bytes) + bytes > budget_) {
    in_use_ -= bytes;
    throw_out_of_memory(bytes, "the budget is spent");
  }
  const UseDevice use(context_);
  std::byte* data = nullptr;
  try {
    data = pool_->allocate(bytes, stream());
  } catch (...) {
    in_use_ -= bytes;
    throw;
  }
  if (data == nullptr) {
    in_use_ -= bytes;
    throw_out_of_memory(bytes, "the GPU is full");
  }
  // On the stream of the allocation: what is given back while this thread records need not belong
  // to the recording.
  const auto give_back = [device = shared_from_this(), bytes, on = stream()](std::byte* memory) {
    device->release(memory, bytes, on);
  };
  return {std::shared_ptr<std::byte>(data, give_back), bytes, Place::kDevice};
}

void Device::release(std::byte* data, std::size_t bytes, Stream stream) noexcept {
  give_back(context_, [&] { cudaFreeAsync(data, stream); });
  in_use_ -= bytes;
}

std::size_t Device::available() const {
  const UseDevice use(context_);
  const std::size_t reserved = pool_->reserved();
  const std::size_t kept = reserved - std::min(pool_->used(), reserved);  // given back to the pool
  return std::min(budget_ - std::min(in_use_.load(), budget_), current_memory_info().free + kept);
}

void Device::synchronize() const {
  const UseDevice use(context_);
  check_status(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void Device::throw_out_of_memory(std::size_t bytes, const char* reason) const {
  const UseDevice use(context_);
  const MemoryInfo info = current_memory_info();
  throw DeviceError(message(
      "CUDA out of memory on cuda:", index_, " (", reason, "): ", mebibytes(bytes),
      " MiB asked for, ", mebibytes(pool_->used()), " MiB in use by models of this process, ",
      mebibytes(info.free), " MiB free of ", mebibytes(info.total),
      " MiB: lower max_num (tiles), the batch, num_beams or max_new_tokens, or load the model in "
      "bfloat16"));
}

}  // namespace internvl::cuda
