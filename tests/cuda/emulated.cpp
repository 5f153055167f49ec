#include "device_memory.h"
#include "engine.h"
#include "memory.h"

namespace internvl::cuda::test {

void* new_buffer(const char* name, std::size_t bytes) {
  return new simt::GlobalBuffer(name, bytes);
}
void delete_buffer(void* buffer) { delete static_cast<simt::GlobalBuffer*>(buffer); }
void* address_of(void* buffer) { return static_cast<simt::GlobalBuffer*>(buffer)->data(); }
void upload(void* buffer, const void* from) {
  static_cast<simt::GlobalBuffer*>(buffer)->upload(from);
}
void download(void* to, void* buffer) { static_cast<simt::GlobalBuffer*>(buffer)->download(to); }
void finish() {}
void set_seed(std::uint32_t seed) { simt::set_seed(seed); }
std::uint64_t bank_conflicts() { return simt::matrix_bank_conflicts; }

}  // namespace internvl::cuda::test
