// Memory of the host, NaNs again when it is gone.
#include <cstdlib>
#include <cstring>
#include <new>

#include "machine.h"

namespace standin {
namespace {

constexpr std::size_t kAlignment = 256;

}  // namespace

void* new_memory(std::size_t bytes) {
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (data == nullptr) throw std::bad_alloc();
  return std::memset(data, 0xff, bytes);
}

void delete_memory(void* data, std::size_t bytes) {
  std::memset(data, 0xff, bytes);
  std::free(data);
}

}  // namespace standin
