// What buffers of one GPU are made of.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "cuda/kernels/stream.h"

namespace internvl::cuda {

/// Memory of one GPU that all its Devices of this process share: what one gives back is there for
/// the others. It goes back to the GPU with the last of them, and where nothing else is free. A
/// pool of our own: other libraries use CUDA's default one, with settings of theirs.
class MemoryPool {
 public:
  /// The GPU's pool; made if there is none.
  static std::shared_ptr<MemoryPool> of(int device);

  explicit MemoryPool(int device);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// Memory for what is queued on the stream from now on; null if there is none.
  std::byte* allocate(std::size_t bytes, Stream stream) const;

  /// Bytes that buffers have.
  std::size_t used() const { return attribute(cudaMemPoolAttrUsedMemCurrent); }

  /// Bytes that the pool has of the GPU's.
  std::size_t reserved() const { return attribute(cudaMemPoolAttrReservedMemCurrent); }

 private:
  std::size_t attribute(cudaMemPoolAttr which) const;

  int device_;
  cudaMemPool_t pool_ = nullptr;
};

}  // namespace internvl::cuda
