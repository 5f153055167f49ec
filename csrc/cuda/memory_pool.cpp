#include "cuda/memory_pool.h"

#include <cstdint>
#include <map>
#include <mutex>

#include "cuda/status.h"

namespace internvl::cuda {

std::shared_ptr<MemoryPool> MemoryPool::of(int device) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<MemoryPool>> pools;
  const std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<MemoryPool>& known = pools[device];
  std::shared_ptr<MemoryPool> pool = known.lock();
  if (pool == nullptr) known = pool = std::make_shared<MemoryPool>(device);
  return pool;
}

MemoryPool::MemoryPool(int device) : device_(device) {
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  check_status(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
  std::uint64_t keep = UINT64_MAX;  // what is given back stays in the pool, for the next pass
  check_status(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep),
               "cudaMemPoolSetAttribute");
}

// Recordings have memory beside the pool, which the GPU gets back only when it is asked to.
MemoryPool::~MemoryPool() {
  cudaMemPoolDestroy(pool_);
  cudaDeviceGraphMemTrim(device_);
}

std::byte* MemoryPool::allocate(std::size_t bytes, Stream stream) const {
  void* data = nullptr;
  const auto take = [&] { return cudaMallocFromPoolAsync(&data, bytes, pool_, stream); };
  cudaError_t result = take();
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    // What is kept may be in pieces that are too small: let the GPU have them first.
    check_status(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    check_status(cudaMemPoolTrimTo(pool_, 0), "cudaMemPoolTrimTo");
    check_status(cudaDeviceGraphMemTrim(device_), "cudaDeviceGraphMemTrim");
    result = take();
  }
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check_status(result, "cudaMallocFromPoolAsync");
  return static_cast<std::byte*>(data);
}

std::size_t MemoryPool::attribute(cudaMemPoolAttr which) const {
  std::uint64_t bytes = 0;
  check_status(cudaMemPoolGetAttribute(pool_, which, &bytes), "cudaMemPoolGetAttribute");
  return bytes;
}

}  // namespace internvl::cuda
