#include "core/buffer.h"

#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace internvl {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  const std::size_t padded = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  void* memory = std::aligned_alloc(alignment, (padded + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  data_ = {static_cast<std::byte*>(memory), std::free};
#ifdef MADV_HUGEPAGE
  // Advice only: where huge pages are off, this changes nothing.
  if (alignment == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace internvl
