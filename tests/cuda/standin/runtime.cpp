// CUDA's runtime on the host: work is done when it is queued, allocations are checked.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "machine.h"

struct CUmemPoolHandle_st {
  int device;
  std::size_t reserved = 0;  // the most that was in use since the last trim
  std::size_t used = 0;
  bool destroyed = false;  // it goes with the last allocation
};

struct CUgraphExec_st {
  CUgraph_st graph;
};

namespace {

struct Machine {
  std::mutex mutex;
  int devices = 1;
  std::size_t bytes = std::size_t{1} << 30;
  int capability = 9;
  bool locked = false;
  std::size_t launched_graphs = 0;
  std::size_t synchronizations = 0;
  std::size_t bytes_to_host = 0;
  struct Allocation {
    std::size_t bytes;
    CUmemPoolHandle_st* pool;
  };
  std::map<std::uintptr_t, Allocation> allocations;
  std::set<CUmemPoolHandle_st*> pools;

  std::size_t free(int device) const {
    std::size_t taken = 0;
    for (const CUmemPoolHandle_st* pool : pools)
      if (pool->device == device) taken += pool->reserved;
    return bytes - taken;
  }
};

Machine& machine() {
  static Machine instance;
  return instance;
}

thread_local int current = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

std::uintptr_t address_of(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

/// Where the allocation begins that has all of [data, data + bytes); 0 if none has.
std::uintptr_t owner_of(const void* data, std::size_t bytes) {
  const auto& allocations = machine().allocations;
  auto found = allocations.upper_bound(address_of(data));
  if (found == allocations.begin()) return 0;
  --found;
  return address_of(data) + bytes <= found->first + found->second.bytes ? found->first : 0;
}

void delete_unused(CUmemPoolHandle_st* pool) {
  if (!pool->destroyed || pool->used > 0) return;
  machine().pools.erase(pool);
  delete pool;
}

cudaError_t free_now(void* data) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  const auto found = machine().allocations.find(address_of(data));
  if (found == machine().allocations.end()) return cudaErrorInvalidValue;
  const Machine::Allocation allocation = found->second;
  machine().allocations.erase(found);
  standin::delete_memory(data, allocation.bytes);
  allocation.pool->used -= allocation.bytes;
  delete_unused(allocation.pool);
  return cudaSuccess;
}

/// Whether both sides lie where the kind says.
bool is_right(cudaMemcpyKind kind, const void* to, std::size_t to_bytes, const void* from,
              std::size_t from_bytes) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  return (kind != cudaMemcpyDeviceToHost) == (owner_of(to, to_bytes) != 0) &&
         (kind != cudaMemcpyHostToDevice) == (owner_of(from, from_bytes) != 0);
}

}  // namespace

namespace standin {

void set_machine(int devices, std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  machine().devices = devices;
  machine().bytes = bytes;
  for (CUmemPoolHandle_st* pool : machine().pools) pool->reserved = pool->used;
  machine().capability = 9;
  machine().locked = false;
  current = 0;
}

std::size_t live_allocations() {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  return machine().allocations.size();
}

std::size_t synchronizations() { return machine().synchronizations; }
void set_capability(int major) { machine().capability = major; }
void set_locked(bool locked) { machine().locked = locked; }

}  // namespace standin

// For ctypes (tests/cuda/test_model.py).
extern "C" __attribute__((visibility("default"))) std::size_t standin_launched_graphs() {
  return machine().launched_graphs;
}
extern "C" __attribute__((visibility("default"))) std::size_t standin_synchronizations() {
  return machine().synchronizations;
}
extern "C" __attribute__((visibility("default"))) std::size_t standin_bytes_to_host() {
  return machine().bytes_to_host;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInitializationError: return "cudaErrorInitializationError";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
  }
  return "?";
}

const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

cudaError_t cudaGetDeviceCount(int* count) {
  if (machine().devices < 0) return result(cudaErrorInsufficientDriver);
  if (machine().devices == 0) return result(cudaErrorNoDevice);
  *count = machine().devices;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device < 0 || device >= machine().devices || attribute != cudaDevAttrComputeCapabilityMajor)
    return result(cudaErrorInvalidValue);
  *value = machine().capability;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= machine().devices) return result(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  *total = machine().bytes;
  *free = machine().free(current);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return result(cudaErrorInvalidValue);
  *stream = new CUstream_st{current, nullptr};
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr || stream->recorded != nullptr) return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  ++machine().synchronizations;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (stream->recorded != nullptr || mode != cudaStreamCaptureModeThreadLocal)
    return result(cudaErrorInvalidValue);
  stream->recorded = std::make_unique<CUgraph_st>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->recorded.release();
  return *graph == nullptr ? result(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags) {
  if (flags != 0) return result(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{*graph};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  {
    const std::lock_guard<std::mutex> lock(machine().mutex);
    ++machine().launched_graphs;
  }
  for (const auto& work : executable->graph.work) stream->queue(work);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  attributes->type = owner_of(data, 1) != 0 ? cudaMemoryTypeDevice
                     : machine().locked     ? cudaMemoryTypeHost
                                            : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  const auto& location = properties->location;
  if (properties->allocType != cudaMemAllocationTypePinned ||
      location.type != cudaMemLocationTypeDevice || location.id < 0 ||
      location.id >= machine().devices)
    return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  *pool = new CUmemPoolHandle_st{location.id};
  machine().pools.insert(*pool);
  return cudaSuccess;
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  pool->destroyed = true;
  delete_unused(pool);
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  pool->reserved = pool->used;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void*) {
  return attribute == cudaMemPoolAttrReleaseThreshold ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  if (attribute == cudaMemPoolAttrReleaseThreshold) return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  const std::uint64_t bytes =
      attribute == cudaMemPoolAttrUsedMemCurrent ? pool->used : pool->reserved;
  std::memcpy(value, &bytes, sizeof bytes);
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** data, std::size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream) {
  if (stream == nullptr || stream->device != pool->device || bytes == 0)
    return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  if (bytes > machine().free(pool->device) + pool->reserved - pool->used)
    return result(cudaErrorMemoryAllocation);
  *data = standin::new_memory(bytes);
  machine().allocations[address_of(*data)] = {bytes, pool};
  pool->used += bytes;
  pool->reserved = std::max(pool->reserved, pool->used);
  if (stream->recorded != nullptr) stream->recorded->memory.emplace_back(*data, free_now);
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  if (stream->recorded == nullptr) return result(free_now(data));
  for (const auto& own : stream->recorded->memory)
    if (own.get() == data) return cudaSuccess;  // it stays with the graph
  return result(cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (width == 0 || height == 0) return cudaSuccess;
  if (stream == nullptr || width > to_pitch || width > from_pitch ||
      !is_right(kind, to, (height - 1) * to_pitch + width, from, (height - 1) * from_pitch + width))
    return result(cudaErrorInvalidValue);
  if (kind == cudaMemcpyDeviceToHost) {
    const std::lock_guard<std::mutex> lock(machine().mutex);
    machine().bytes_to_host += width * height;
  }
  stream->queue([=] {
    for (std::size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<char*>(to) + row * to_pitch,
                  static_cast<const char*>(from) + row * from_pitch, width);
  });
  return cudaSuccess;
}
