// What kernels are written in: CUDA C++ with the functions of ptx.cuh and launch() of launch.cuh.
// Without nvcc, tests/cuda/simt has the same names, and the kernels run on the CPU.
#pragma once

#ifdef __CUDACC__
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/ptx.cuh"
#else
#include "simt.h"
#endif

namespace internvl::cuda {

constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = ~0u;

constexpr std::int64_t divide_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

}  // namespace internvl::cuda
