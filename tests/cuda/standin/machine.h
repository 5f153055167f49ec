// The machine that runtime.cpp pretends to be.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

/// Work that was queued on a stream while it recorded, and the memory that was allocated then.
struct CUgraph_st {
  std::vector<std::function<void()>> work;
  std::vector<std::shared_ptr<void>> memory;
};

/// Work is done when it is queued, unless the stream records. On the stream's clock, it takes as
/// long as the caller says.
struct CUstream_st {
  int device;
  std::unique_ptr<CUgraph_st> recorded;
  double milliseconds = 0.0;

  void queue(std::function<void()> work, double duration = 1.0) {
    if (recorded != nullptr) return recorded->work.push_back(std::move(work));
    milliseconds += duration;
    work();
  }
};

namespace standin {

/// GPUs, and the bytes that each has. A negative number of GPUs: there is no driver.
void set_machine(int devices, std::size_t bytes);

/// The GPUs on which this process has a context.
std::vector<int> contexts();

/// Allocations that have not been freed.
std::size_t live_allocations();

/// Times that a stream was waited for.
std::size_t synchronizations();

/// The compute capability of all GPUs, without its fraction.
void set_capability(int major);

/// Whether the host's memory counts as locked in place.
void set_locked(bool locked);

// ---- what allocations are made of: plain_memory.cpp or emulated_memory.cpp

/// NaNs at a multiple of 256 bytes: nothing may rely on what it did not write.
void* new_memory(std::size_t bytes);
void delete_memory(void* data, std::size_t bytes);

}  // namespace standin
