// The contexts of GPUs, one for each, which everything in this process shares. CUDA's runtime makes
// one on whatever GPU is the calling thread's, and since CUDA 12 cudaSetDevice() does, too: going
// back to the GPU that was the caller's before would take some hundred MiB of it, used or not. So
// the driver pushes a context for a while, and takes it off again.
#pragma once

#include <cuda.h>

#include <memory>

#include "core/error.h"

namespace internvl::cuda {

/// Keeps a GPU's context; makes it if there is none. Whoever works on the GPU keeps one of these,
/// so that no operation has to look for it.
class PrimaryContext {
 public:
  /// The one that this process keeps, if it does: then the driver is asked for nothing.
  static std::shared_ptr<const PrimaryContext> of(int device);

  explicit PrimaryContext(int device);
  ~PrimaryContext();
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;

  CUcontext get() const { return context_; }

 private:
  CUdevice device_;
  CUcontext context_ = nullptr;
};

/// Makes a GPU the calling thread's for as long as the object lives: callers may have chosen
/// another one for themselves.
class UseDevice {
 public:
  explicit UseDevice(std::shared_ptr<const PrimaryContext> context);
  ~UseDevice();
  UseDevice(const UseDevice&) = delete;
  UseDevice& operator=(const UseDevice&) = delete;

 private:
  std::shared_ptr<const PrimaryContext> context_;
};

struct MemoryInfo {
  std::size_t free;
  std::size_t total;
};

/// Of the calling thread's GPU.
MemoryInfo current_memory_info();

/// Runs `body`, which gives back what a GPU has. Nothing is left to give where CUDA has shut down,
/// at the end of the process.
template <class Body>
void give_back(const std::shared_ptr<const PrimaryContext>& context, const Body& body) noexcept {
  try {
    const UseDevice use(context);
    body();
  } catch (const DeviceError&) {
  }
}

}  // namespace internvl::cuda
