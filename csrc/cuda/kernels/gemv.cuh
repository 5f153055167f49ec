// y = x W^T for a few rows of x, at the speed at which W comes from memory. A block computes two
// features of all rows: its threads take turns along the depth, 16 bytes of each of the two rows of
// W at a time, and add their sums at the end. The order of additions depends on the depth alone, so
// that a row has the same bits whatever the number of rows.
//
// 128 threads of at most 64 registers: 8 blocks, 32 warps a multiprocessor, which have 32 KiB of W
// on the way, beyond the 18 KiB that 3.35 TB/s at 700 ns ask of each of an H100's 132.
#pragma once

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/reduce.cuh"

namespace internvl::cuda {

constexpr int kGemvThreads = 128;
constexpr int kGemvFeatures = 2;  // of a block
constexpr int kGemvRows = 8;      // at most

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
};

/// row[first ...] as float32, zeros from `depth` on: kCount elements, 16 bytes.
template <bool kOnce, class T, int kCount>
__device__ __forceinline__ void load_chunk(float (&values)[kCount], const T* row, int first,
                                           int depth, bool aligned) {
  struct alignas(16) Chunk {
    T elements[kCount];
  };
  static_assert(sizeof(Chunk) == 16);
  if (aligned && first + kCount <= depth) {
    Chunk chunk;
    if (kOnce) {
      const Bytes16 bytes = load_once(row + first);
      memcpy(&chunk, &bytes, sizeof(chunk));
    } else {
      chunk = load_vector(reinterpret_cast<const Chunk*>(row + first));
    }
    for (int i = 0; i < kCount; ++i) values[i] = widen(chunk.elements[i]);
  } else {
    for (int i = 0; i < kCount; ++i) values[i] = first + i < depth ? widen(row[first + i]) : 0.0f;
  }
}

/// Rows of the weight of this block: two neighbours, or the gate and up row of one feature.
__device__ __forceinline__ int gemv_weight_row(const GemvArguments& args, int f) {
  const int block = static_cast<int>(blockIdx.x);
  return args.result == GemvResult::kGated ? block + f * args.features : block * kGemvFeatures + f;
}

__device__ __forceinline__ float gemv_biased(const GemvArguments& args, float sum, int f) {
  return args.bias == nullptr ? sum : sum + args.bias[gemv_weight_row(args, f)];
}

/// Stores what thread (row, f) has of the result.
template <class T>
__device__ __forceinline__ void gemv_store(const GemvArguments& args, int row, int feature,
                                           float value) {
  const std::int64_t at = row * args.out_stride + feature;
  if (args.result == GemvResult::kAdd) {
    float* residual = static_cast<float*>(args.out) + at;
    *residual = fmaf(args.scale == nullptr ? 1.0f : args.scale[feature], value, *residual);
  } else if (args.narrows) {
    static_cast<T*>(args.out)[at] = narrow<T>(value);
  } else {
    static_cast<float*>(args.out)[at] = value;
  }
}

/// kRows: at least args.rows.
template <class T, int kRows>
__global__ void __launch_bounds__(kGemvThreads)
    gemv_kernel(const __grid_constant__ GemvArguments args) {
  constexpr int kChunk = 16 / sizeof(T);
  const bool gated = args.result == GemvResult::kGated;
  const T* weight[kGemvFeatures];
  for (int f = 0; f < kGemvFeatures; ++f) {
    // The second feature of the last block may not exist: the first one stands in for it.
    const int last = args.features * (gated ? 2 : 1) - 1;
    weight[f] = static_cast<const T*>(args.weight) +
                min(gemv_weight_row(args, f), last) * args.weight_stride;
  }
  const T* x = static_cast<const T*>(args.x);

  float sums[kGemvFeatures][kRows] = {};
  for (int k = static_cast<int>(threadIdx.x) * kChunk; k < args.depth; k += kGemvThreads * kChunk) {
    float w[kGemvFeatures][kChunk];
    for (int f = 0; f < kGemvFeatures; ++f) {
      load_chunk<true>(w[f], weight[f], k, args.depth, args.aligned);
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= args.rows) break;
      float values[kChunk];
      load_chunk<false>(values, x + row * args.x_stride, k, args.depth, args.aligned);
      for (int f = 0; f < kGemvFeatures; ++f) {
        for (int i = 0; i < kChunk; ++i) sums[f][row] = fmaf(w[f][i], values[i], sums[f][row]);
      }
    }
  }

  constexpr int kWarps = kGemvThreads / kWarp;
  INTERNVL_SHARED(float, parts, kWarps* kGemvFeatures* kRows);
  for (int f = 0; f < kGemvFeatures; ++f) {
    for (int row = 0; row < kRows; ++row) {
      const float sum = reduce_lanes(sums[f][row], Add());
      if (threadIdx.x % kWarp == 0) {
        parts[(threadIdx.x / kWarp * kGemvFeatures + f) * kRows + row] = sum;
      }
    }
  }
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x) % kRows;
  const int f = static_cast<int>(threadIdx.x) / kRows;
  if (row >= args.rows || f >= (gated ? 1 : kGemvFeatures)) return;
  const auto total = [&](int feature) {
    float sum = 0.0f;
    for (int warp = 0; warp < kWarps; ++warp) {
      sum += parts[(warp * kGemvFeatures + feature) * kRows + row];
    }
    return gemv_biased(args, sum, feature);
  };
  const int feature = gated ? static_cast<int>(blockIdx.x) : gemv_weight_row(args, f);
  if (feature >= args.features) return;
  const float value = activate(args.activation, total(f));
  gemv_store<T>(args, row, feature, gated ? value * total(1) : value);
}

}  // namespace internvl::cuda
