// Sums and maxima over a warp and a block, in an order that depends on the number of threads alone.
#pragma once

#include "cuda/kernels/device.cuh"

namespace internvl::cuda {

/// Combines the values of `kLanes` neighbouring lanes; all get the result.
template <int kLanes = 32, class T, class Combine>
__device__ __forceinline__ T reduce_lanes(T value, Combine combine) {
  for (int step = kLanes / 2; step > 0; step /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  return value;
}

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Maximum {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// Sum over the block, whole warps of at most 1024 threads; all threads get it. `scratch` has one
/// float per warp; calls that follow each other take turns between two of them.
__device__ __forceinline__ float sum_block(float value, float* scratch) {
  value = reduce_lanes(value, Add());
  const unsigned warps = blockDim.x / kWarp;
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  const unsigned lane = threadIdx.x % kWarp;
  return reduce_lanes(lane < warps ? scratch[lane] : 0.0f, Add());
}

}  // namespace internvl::cuda
