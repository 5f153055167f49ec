// One GPU: its memory, handed out within a budget, and the stream that all work is queued on.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "core/buffer.h"
#include "cuda/context.h"
#include "cuda/memory_pool.h"

namespace internvl::cuda {

/// GPUs that this process may use. Throws DeviceError, saying what to install, where there is no
/// driver or no GPU.
int device_count();

/// The compute capability of a GPU, without its fraction.
int capability(int device);

/// Whether the package has code for this GPU: compute capability 8.0 (Ampere) or newer.
bool is_supported(int device);

/// Throws InvalidArgument for an index that is none. What the question needs of a GPU that nobody
/// in this process uses is given back.
MemoryInfo memory_info(int device);

/// Work is done in the order in which it is queued, by whichever thread; so memory that a buffer
/// gives back can be used again at once by what is queued next.
class Device : public std::enable_shared_from_this<Device> {
 public:
  /// `budget`: bytes that buffers may take together; 0 for all that the device has. Throws
  /// DeviceError for a GPU that is not supported.
  explicit Device(int index, std::size_t budget = 0);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  int index() const { return index_; }
  const std::shared_ptr<const PrimaryContext>& context() const { return context_; }

  /// What this thread queues its work on.
  Stream stream() const;

  /// Uninitialised device memory, aligned to 256 bytes. Throws DeviceError on exhaustion, naming
  /// the bytes asked for, in use, free and in all, and what to lower.
  Buffer allocate(std::size_t bytes);

  /// Bytes that allocate() still has.
  std::size_t available() const;

  /// Waits for all work queued so far.
  void synchronize() const;

  /// Work of this thread goes to another stream for as long as the object lives.
  class Redirection {
   public:
    Redirection(const Device& device, Stream stream);
    ~Redirection();
    Redirection(const Redirection&) = delete;
    Redirection& operator=(const Redirection&) = delete;
  };

 private:
  void release(std::byte* data, std::size_t bytes, Stream stream) noexcept;
  [[noreturn]] void throw_out_of_memory(std::size_t bytes, const char* reason) const;

  int index_;
  std::size_t budget_;
  std::shared_ptr<const PrimaryContext> context_;
  std::shared_ptr<MemoryPool> pool_;
  Stream stream_ = nullptr;
  std::atomic<std::size_t> in_use_{0};
};

}  // namespace internvl::cuda
