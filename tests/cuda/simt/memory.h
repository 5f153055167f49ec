// Memory that kernels may touch, and who touched it last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simt.h"

namespace simt {

/// The last accesses to two neighbouring bytes (kernels store no single bytes).
struct Access {
  std::uint32_t interval = 0;       ///< between two barriers, counted over all launches; 0: never
  std::uint16_t thread = 0;         ///< in its block, or a code for several (memory.cpp)
  std::uint16_t warp_interval = 0;  ///< between two __syncwarp of its warp
};

struct Cell {
  Access write;
  Access read;
};

constexpr std::size_t kCellBytes = 2;
constexpr std::size_t kSharedBytes = std::size_t{227} << 10;  ///< a block's, on sm_90
constexpr std::uint32_t kHostInterval = 1;  ///< what the host wrote before any launch

/// An allocation of global memory. Its content is undefined until it is uploaded or written to.
class GlobalBuffer {
 public:
  GlobalBuffer(const char* name, std::size_t bytes);
  ~GlobalBuffer();
  GlobalBuffer(const GlobalBuffer&) = delete;
  GlobalBuffer& operator=(const GlobalBuffer&) = delete;

  std::byte* data() const { return data_; }
  void upload(const void* from);
  void download(void* to) const;

 private:
  std::byte* storage_;
  std::byte* data_;
  std::size_t bytes_;
};

/// The running thread, as the memory checks see it; set by the engine.
struct Running {
  bool in_kernel = false;
  std::uint16_t thread = 0;
  std::uint32_t interval = kHostInterval;      ///< counts up at every barrier and every block
  std::uint32_t block_begin = kHostInterval;   ///< first interval of this block
  std::uint32_t launch_begin = kHostInterval;  ///< first interval of this launch
  std::vector<std::uint16_t> warp_intervals;   ///< of this block
  const std::byte* stack_begin = nullptr;      ///< of all threads
  const std::byte* stack_end = nullptr;
  const std::byte* arguments = nullptr;  ///< of the kernel
  std::size_t argument_bytes = 0;
};
extern Running running;

/// A plain access by a kernel, at a multiple of `alignment`. `address` may be on the stack, in
/// global or in shared memory, or, for reads, among the constants of the program.
void access(const void* address, std::size_t bytes, std::size_t alignment, bool writes,
            const void* caller);

/// Forgets the shared arrays of the last block; `dynamic_bytes` is at most kSharedBytes.
void begin_block_memory(std::size_t dynamic_bytes);

/// Of ldmatrix, so far.
extern std::uint64_t matrix_bank_conflicts;

}  // namespace simt
