// y = x W^T for a few rows of x, at the speed at which W comes from memory: what the two kernels
// share, float32's (gemv_float.cuh) and that of the tensor cores (gemv_mma.cuh). In both, the order
// of additions depends on the depth alone: a row has the same bits whatever the number of rows.
#pragma once

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/reduce.cuh"

namespace internvl::cuda {

enum class GemvResult { kStore, kAdd, kGated };

struct GemvArguments {
  void* out;
  const void* x;
  const void* weight;
  const float* bias;   // of the rows of the weight, or null
  const float* scale;  // of the features, or null
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t weight_stride;
  int rows;
  int depth;
  int features;  // of the result
  bool aligned;  // rows of x and of the weight begin at multiples of 16 bytes
  bool narrows;  // the result has the dtype of x, not float32
  GemvResult result;
  Activation activation;

  __device__ bool gated() const { return result == GemvResult::kGated; }

  /// Row `row` of the weight; in place of one that does not exist the last one.
  template <class T>
  __device__ const T* weight_row(int row) const {
    const int last = features * (gated() ? 2 : 1) - 1;
    return static_cast<const T*>(weight) + min(row, last) * weight_stride;
  }

  /// A sum of products with the bias of its row of the weight.
  __device__ float biased(float sum, int weight_row) const {
    return bias == nullptr ? sum : sum + bias[weight_row];
  }

  template <class T>
  __device__ void store(int row, int feature, float value) const {
    const std::int64_t at = row * out_stride + feature;
    if (result == GemvResult::kAdd) {
      float* residual = static_cast<float*>(out) + at;
      *residual = fmaf(scale == nullptr ? 1.0f : scale[feature], value, *residual);
    } else if (narrows) {
      static_cast<T*>(out)[at] = narrow<T>(value);
    } else {
      static_cast<float*>(out)[at] = value;
    }
  }
};

}  // namespace internvl::cuda
