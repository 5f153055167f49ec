// Device memory as the tests see it: emulated.cpp has it on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace internvl::cuda::test {

/// Bytes of any content.
void* new_buffer(const char* name, std::size_t bytes);
void delete_buffer(void* buffer);
void* address_of(void* buffer);
void upload(void* buffer, const void* from);
void download(void* to, void* buffer);

/// Waits for the kernels; throws if one failed.
void finish();

/// The order of threads, where there is one.
void set_seed(std::uint32_t seed);
std::uint64_t bank_conflicts();

}  // namespace internvl::cuda::test
