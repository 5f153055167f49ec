// Memory whose bounds, and races in it, the emulated kernels of tests/cuda/simt check.
#include <atomic>
#include <cstring>
#include <map>
#include <memory>

#include "machine.h"
#include "memory.h"

namespace standin {
namespace {

std::map<void*, std::unique_ptr<simt::GlobalBuffer>> buffers;

std::atomic<std::size_t> queued_kernels{0};

// Launches go where copies and products go.
[[maybe_unused]] const auto queue =
    simt::queue = [](CUstream_st* stream, std::function<void()> launch) {
      ++queued_kernels;
      stream->queue(std::move(launch));
    };

}  // namespace

void* new_memory(std::size_t bytes) {
  auto buffer = std::make_unique<simt::GlobalBuffer>("an allocation", bytes);
  void* data = buffer->data();
  const auto nans = std::make_unique<std::byte[]>(bytes);
  std::memset(nans.get(), 0xff, bytes);
  buffer->upload(nans.get());
  buffers[data] = std::move(buffer);
  return data;
}

void delete_memory(void* data, std::size_t) { buffers.erase(data); }

}  // namespace standin

// For ctypes (tests/cuda/models.py): launches so far, recorded ones included.
extern "C" __attribute__((visibility("default"))) std::size_t standin_queued_kernels() {
  return standin::queued_kernels;
}
