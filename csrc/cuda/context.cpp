#include "cuda/context.h"

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <utility>

#include "cuda/status.h"

namespace internvl::cuda {
namespace {

/// The driver's errors have the numbers of the runtime's.
void check_driver(CUresult result, const char* call) {
  check_status(static_cast<cudaError_t>(result), call);
}

/// The driver's functions, as of CUDA 12; libcuda.so is not linked.
struct Driver {
  decltype(&cuDeviceGet) get_device;
  decltype(&cuDevicePrimaryCtxRetain) retain;
  decltype(&cuDevicePrimaryCtxRelease) release;
  decltype(&cuCtxPushCurrent) push;
  decltype(&cuCtxPopCurrent) pop;
  decltype(&cuMemGetInfo) memory_info;

  Driver() {
    find(get_device, "cuDeviceGet");
    find(retain, "cuDevicePrimaryCtxRetain");
    find(release, "cuDevicePrimaryCtxRelease");
    find(push, "cuCtxPushCurrent");
    find(pop, "cuCtxPopCurrent");
    find(memory_info, "cuMemGetInfo");
  }

  template <class Function>
  static void find(Function& function, const char* name) {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    constexpr unsigned kVersion = 12000;
    check_status(
        cudaGetDriverEntryPointByVersion(name, &address, kVersion, cudaEnableDefault, &found),
        "cudaGetDriverEntryPointByVersion");
#else
    check_status(cudaGetDriverEntryPoint(name, &address, cudaEnableDefault, &found),
                 "cudaGetDriverEntryPoint");
#endif
    check<DeviceError>(found == cudaDriverEntryPointSuccess && address != nullptr,
                       "the NVIDIA driver has no ", name, ": a newer one is needed");
    function = reinterpret_cast<Function>(address);
  }
};

const Driver& driver() {
  static const Driver functions;
  return functions;
}

}  // namespace

std::shared_ptr<const PrimaryContext> PrimaryContext::of(int device) {
  // Never destroyed: what is left at the end of the process asks for a context, too.
  static auto& mutex = *new std::mutex;
  static auto& contexts = *new std::map<int, std::weak_ptr<const PrimaryContext>>;
  const std::lock_guard<std::mutex> lock(mutex);
  std::weak_ptr<const PrimaryContext>& known = contexts[device];
  std::shared_ptr<const PrimaryContext> context = known.lock();
  if (context == nullptr) known = context = std::make_shared<const PrimaryContext>(device);
  return context;
}

PrimaryContext::PrimaryContext(int device) {
  check_driver(driver().get_device(&device_, device), "cuDeviceGet");
  check_driver(driver().retain(&context_, device_), "cuDevicePrimaryCtxRetain");
}

PrimaryContext::~PrimaryContext() { driver().release(device_); }

UseDevice::UseDevice(std::shared_ptr<const PrimaryContext> context) : context_(std::move(context)) {
  check_driver(driver().push(context_->get()), "cuCtxPushCurrent");
}

UseDevice::~UseDevice() {
  CUcontext popped = nullptr;
  driver().pop(&popped);
}

MemoryInfo current_memory_info() {
  MemoryInfo info{};
  check_driver(driver().memory_info(&info.free, &info.total), "cuMemGetInfo");
  return info;
}

}  // namespace internvl::cuda
