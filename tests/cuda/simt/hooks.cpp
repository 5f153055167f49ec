// What the thread sanitizer pass of the compiler calls at every load and store of a kernel.
#include "memory.h"

namespace {

void visit(const void* address, std::size_t bytes, std::size_t alignment, bool writes,
           const void* caller) {
  if (simt::running.in_kernel) simt::access(address, bytes, alignment, writes, caller);
}

}  // namespace

#define SIMT_ACCESS(name, bytes, alignment, writes)                        \
  void __tsan_##name(void* address) {                                      \
    visit(address, bytes, alignment, writes, __builtin_return_address(0)); \
  }
// "unaligned" are accesses that the compiler made of several smaller ones.
#define SIMT_ACCESSES(bytes)                          \
  SIMT_ACCESS(read##bytes, bytes, bytes, false)       \
  SIMT_ACCESS(write##bytes, bytes, bytes, true)       \
  SIMT_ACCESS(unaligned_read##bytes, bytes, 1, false) \
  SIMT_ACCESS(unaligned_write##bytes, bytes, 1, true)

extern "C" {
SIMT_ACCESSES(1)
SIMT_ACCESSES(2)
SIMT_ACCESSES(4)
SIMT_ACCESSES(8)
SIMT_ACCESSES(16)

void __tsan_read_range(void* address, std::size_t bytes) {
  visit(address, bytes, 1, false, __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t bytes) {
  visit(address, bytes, 1, true, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
