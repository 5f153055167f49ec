// CUDA's runtime on the host: work is done when it is queued, allocations are checked.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string_view>

#include "machine.h"

struct CUmemPoolHandle_st {
  int device;
  std::size_t reserved = 0;  // the most that was in use since the last trim
  std::size_t used = 0;
  bool destroyed = false;  // it goes with the last allocation
};

struct CUevent_st {
  bool recorded = false;
  double milliseconds = 0.0;  // on the stream's clock
};

struct CUgraphExec_st {
  CUgraph_st graph;
};

/// The primary context of a GPU.
struct CUctx_st {
  int device = 0;
  int retained = 0;          // by the driver's callers
  bool has_runtime = false;  // which keeps it until the process ends
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
  std::array<CUctx_st, 8> contexts;
  std::set<CUmemPoolHandle_st*> pools;
  std::array<std::size_t, 8> of_graphs{};  // that are gone: kept until it is trimmed

  std::size_t free(int device) const {
    std::size_t taken = of_graphs.at(device);
    for (const CUmemPoolHandle_st* pool : pools)
      if (pool->device == device) taken += pool->reserved;
    return bytes - taken;
  }
};

Machine& machine() {
  static Machine instance;
  return instance;
}

thread_local std::vector<CUcontext> pushed;
thread_local int recordings = 0;  // that this thread has begun and not ended
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

/// The calling thread's device; callers have chosen none.
int current() { return pushed.empty() ? 0 : pushed.back()->device; }

/// The same for a call that needs a context there: as CUDA's, the runtime makes it.
int in_context() {
  const int device = current();
  machine().contexts.at(device).has_runtime = true;
  return device;
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

/// Memory of a graph stays with the device.
void free_of_graph(void* data) {
  {
    const std::lock_guard<std::mutex> lock(machine().mutex);
    const Machine::Allocation& allocation = machine().allocations.at(address_of(data));
    allocation.pool->reserved -= allocation.bytes;
    machine().of_graphs.at(allocation.pool->device) += allocation.bytes;
  }
  free_now(data);
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
  for (CUctx_st& context : machine().contexts) context.has_runtime = false;
  machine().of_graphs.fill(0);
}

std::vector<int> contexts() {
  std::vector<int> devices;
  for (int device = 0; device < machine().devices; ++device) {
    const CUctx_st& context = machine().contexts.at(device);
    if (context.retained > 0 || context.has_runtime) devices.push_back(device);
  }
  return devices;
}

std::size_t live_allocations() {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  return machine().allocations.size();
}

std::size_t synchronizations() { return machine().synchronizations; }
void set_capability(int major) { machine().capability = major; }
void set_locked(bool locked) { machine().locked = locked; }

}  // namespace standin

// For ctypes (tests/cuda/models.py).
extern "C" __attribute__((visibility("default"))) std::size_t standin_launched_graphs() {
  return machine().launched_graphs;
}
extern "C" __attribute__((visibility("default"))) std::size_t standin_synchronizations() {
  return machine().synchronizations;
}
extern "C" __attribute__((visibility("default"))) std::size_t standin_bytes_to_host() {
  return machine().bytes_to_host;
}

extern "C" __attribute__((visibility("default"))) void standin_set_capability(int major) {
  machine().capability = major;
}

// Memory of another library on cuda:0, for ctypes, too.
extern "C" __attribute__((visibility("default"))) void* standin_allocate(std::size_t bytes) {
  static CUmemPoolHandle_st others{0};
  const std::lock_guard<std::mutex> lock(machine().mutex);
  void* data = standin::new_memory(bytes);
  machine().allocations[address_of(data)] = {bytes, &others};
  others.used += bytes;
  return data;
}

extern "C" __attribute__((visibility("default"))) void standin_free(void* data) { free_now(data); }

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

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < machine().devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// Stricter than a driver may be, whose documentation does not say what a recording allows.
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  if (recordings > 0) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard<std::mutex> lock(machine().mutex);
  *context = &machine().contexts.at(device);
  (*context)->device = device;
  ++(*context)->retained;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  const std::lock_guard<std::mutex> lock(machine().mutex);
  --machine().contexts.at(device).retained;
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
  pushed.push_back(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext* context) {
  if (pushed.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  *context = pushed.back();
  pushed.pop_back();
  return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(std::size_t* free, std::size_t* total) {
  if (pushed.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  const std::lock_guard<std::mutex> lock(machine().mutex);
  *total = machine().bytes;
  *free = machine().free(current());
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  static const std::map<std::string_view, void*> functions{
      {"cuDeviceGet", reinterpret_cast<void*>(&cuDeviceGet)},
      {"cuDevicePrimaryCtxRetain", reinterpret_cast<void*>(&cuDevicePrimaryCtxRetain)},
      {"cuDevicePrimaryCtxRelease", reinterpret_cast<void*>(&cuDevicePrimaryCtxRelease)},
      {"cuCtxPushCurrent", reinterpret_cast<void*>(&cuCtxPushCurrent)},
      {"cuCtxPopCurrent", reinterpret_cast<void*>(&cuCtxPopCurrent)},
      {"cuMemGetInfo", reinterpret_cast<void*>(&cuMemGetInfo)},
  };
  const auto entry = functions.find(name);
  *function = entry == functions.end() ? nullptr : entry->second;
  *found = *function == nullptr ? cudaDriverEntryPointSymbolNotFound : cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return result(cudaErrorInvalidValue);
  *stream = new CUstream_st{in_context(), nullptr, 0.0};
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  in_context();
  if (stream == nullptr || stream->recorded != nullptr) return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  ++machine().synchronizations;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  in_context();
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  in_context();
  *event = new CUevent_st();
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  in_context();
  if (stream == nullptr || stream->recorded != nullptr) return result(cudaErrorInvalidValue);
  event->recorded = true;
  event->milliseconds = stream->milliseconds;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  in_context();
  return event->recorded ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->recorded || !end->recorded) return result(cudaErrorInvalidValue);
  *milliseconds = static_cast<float>(end->milliseconds - begin->milliseconds);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  in_context();
  delete event;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  in_context();
  if (stream->recorded != nullptr || mode != cudaStreamCaptureModeThreadLocal)
    return result(cudaErrorInvalidValue);
  stream->recorded = std::make_unique<CUgraph_st>();
  ++recordings;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  in_context();
  *graph = stream->recorded.release();
  if (*graph == nullptr) return result(cudaErrorInvalidValue);
  --recordings;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags) {
  in_context();
  if (flags != 0) return result(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{*graph};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  in_context();
  {
    const std::lock_guard<std::mutex> lock(machine().mutex);
    ++machine().launched_graphs;
  }
  for (const auto& work : executable->graph.work) stream->queue(work);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  in_context();
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  in_context();
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  in_context();
  const std::lock_guard<std::mutex> lock(machine().mutex);
  attributes->type = owner_of(data, 1) != 0 ? cudaMemoryTypeDevice
                     : machine().locked     ? cudaMemoryTypeHost
                                            : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  in_context();
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
  in_context();
  const std::lock_guard<std::mutex> lock(machine().mutex);
  pool->destroyed = true;
  delete_unused(pool);
  return cudaSuccess;
}

cudaError_t cudaDeviceGraphMemTrim(int device) {
  in_context();
  const std::lock_guard<std::mutex> lock(machine().mutex);
  machine().of_graphs.at(device) = 0;
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t) {
  in_context();
  const std::lock_guard<std::mutex> lock(machine().mutex);
  pool->reserved = pool->used;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void*) {
  in_context();
  return attribute == cudaMemPoolAttrReleaseThreshold ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  in_context();
  if (attribute == cudaMemPoolAttrReleaseThreshold) return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  const std::uint64_t bytes =
      attribute == cudaMemPoolAttrUsedMemCurrent ? pool->used : pool->reserved;
  std::memcpy(value, &bytes, sizeof bytes);
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** data, std::size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream) {
  in_context();
  if (stream == nullptr || stream->device != pool->device || bytes == 0)
    return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(machine().mutex);
  if (bytes > machine().free(pool->device) + pool->reserved - pool->used)
    return result(cudaErrorMemoryAllocation);
  *data = standin::new_memory(bytes);
  machine().allocations[address_of(*data)] = {bytes, pool};
  pool->used += bytes;
  pool->reserved = std::max(pool->reserved, pool->used);
  if (stream->recorded != nullptr) stream->recorded->memory.emplace_back(*data, free_of_graph);
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  in_context();
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
  in_context();
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
