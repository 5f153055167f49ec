// Launching a kernel from a source that nvcc compiles.
#pragma once

#include <cuda_runtime.h>

#include "cuda/kernels/stream.h"
#include "cuda/status.h"

namespace internvl::cuda {

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t dynamic_bytes,
            Stream stream, Arguments... arguments) {
  constexpr std::size_t kDefaultLimit = std::size_t{48} << 10;
  if (dynamic_bytes > kDefaultLimit) {
    check_status(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(dynamic_bytes)),
                 "cudaFuncSetAttribute");
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(grid.x, grid.y, grid.z);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = dynamic_bytes;
  config.stream = stream;
  check_status(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...),
               "cudaLaunchKernelEx");
}

}  // namespace internvl::cuda
