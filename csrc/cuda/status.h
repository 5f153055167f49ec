// What CUDA's calls return, as exceptions.
#pragma once

#include <cuda_runtime_api.h>

namespace internvl::cuda {

/// Throws DeviceError naming `call` and the reason unless the call succeeded.
void check_status(cudaError_t status, const char* call);

}  // namespace internvl::cuda
