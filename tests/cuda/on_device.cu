// Device memory on a GPU.
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "device_memory.h"

namespace internvl::cuda::test {
namespace {

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

struct DeviceBuffer {
  void* data;
  std::size_t bytes;
};

DeviceBuffer& buffer_of(void* handle) { return *static_cast<DeviceBuffer*>(handle); }

}  // namespace

void* new_buffer(const char*, std::size_t bytes) {
  void* data;
  require(cudaMalloc(&data, bytes == 0 ? 1 : bytes));
  require(cudaMemset(data, 0xff, bytes));  // NaN in every dtype
  return new DeviceBuffer{data, bytes};
}

void delete_buffer(void* buffer) {
  cudaFree(buffer_of(buffer).data);
  delete &buffer_of(buffer);
}

void* address_of(void* buffer) { return buffer_of(buffer).data; }

void upload(void* buffer, const void* from) {
  require(
      cudaMemcpy(buffer_of(buffer).data, from, buffer_of(buffer).bytes, cudaMemcpyHostToDevice));
}

void download(void* to, void* buffer) {
  require(cudaMemcpy(to, buffer_of(buffer).data, buffer_of(buffer).bytes, cudaMemcpyDeviceToHost));
}

void finish() { require(cudaDeviceSynchronize()); }
void set_seed(std::uint32_t) {}
std::uint64_t bank_conflicts() { return 0; }

}  // namespace internvl::cuda::test
