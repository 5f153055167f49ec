// Products of a few rows of float32. A block computes two features of eight rows at most: its
// threads take turns along the depth, 16 bytes of each of the two rows of W at a time, and add
// their sums at the end.
//
// 128 threads of at most 64 registers: 8 blocks, 32 warps a multiprocessor, which have 32 KiB of W
// on the way, beyond the 18 KiB that 3.35 TB/s at 700 ns ask of each of an H100's 132. Blocks of
// the same features and other rows are neighbours: W comes from memory once and then from the L2
// cache.
#pragma once

#include "cuda/kernels/gemv.cuh"

namespace internvl::cuda {

constexpr int kGemvThreads = 128;
constexpr int kGemvFeatures = 2;  // of a block
constexpr int kGemvRows = 8;      // of a block, at most

/// row[first ...], zeros from `depth` on.
template <bool kOnce>
__device__ __forceinline__ void load_floats(float (&values)[kQuad], const float* row, int first,
                                            int depth, bool aligned) {
  if (kOnce && aligned && first + kQuad <= depth) {
    const Bytes16 bytes = load_once(row + first, true);
    for (int i = 0; i < kQuad; ++i) values[i] = __uint_as_float(bytes.words[i]);
  } else {
    load_quad(values, row, first, depth, aligned);
  }
}

/// kRows: at least those of a group. Block features * row groups + group.
template <int kRows>
__global__ void __launch_bounds__(kGemvThreads)
    gemv_float_kernel(const __grid_constant__ GemvArguments args) {
  const int groups = (args.rows + kGemvRows - 1) / kGemvRows;
  const int block = static_cast<int>(blockIdx.x) / groups;
  const int first_row = static_cast<int>(blockIdx.x) % groups * kGemvRows;
  const int rows = min(args.rows - first_row, kGemvRows);
  const bool gated = args.gated();
  // Two neighbours, or the gate and up row of one feature.
  const auto weight_row = [&](int f) {
    return gated ? block + f * args.features : block * kGemvFeatures + f;
  };
  const float* weight[kGemvFeatures];
  for (int f = 0; f < kGemvFeatures; ++f) weight[f] = args.weight_row<float>(weight_row(f));
  const float* x = static_cast<const float*>(args.x) + first_row * args.x_stride;

  float sums[kGemvFeatures][kRows] = {};
  for (int k = static_cast<int>(threadIdx.x) * kQuad; k < args.depth; k += kGemvThreads * kQuad) {
    float w[kGemvFeatures][kQuad];
    for (int f = 0; f < kGemvFeatures; ++f) {
      load_floats<true>(w[f], weight[f], k, args.depth, args.aligned);
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= rows) break;
      float values[kQuad];
      load_floats<false>(values, x + row * args.x_stride, k, args.depth, args.aligned);
      for (int f = 0; f < kGemvFeatures; ++f) {
        for (int i = 0; i < kQuad; ++i) sums[f][row] = fmaf(w[f][i], values[i], sums[f][row]);
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
  if (row >= rows || f >= (gated ? 1 : kGemvFeatures)) return;
  const auto total = [&](int feature) {
    float sum = 0.0f;
    for (int warp = 0; warp < kWarps; ++warp) {
      sum += parts[(warp * kGemvFeatures + feature) * kRows + row];
    }
    return args.biased(sum, weight_row(feature));
  };
  const int feature = gated ? block : weight_row(f);
  if (feature >= args.features) return;
  const float value = activate(args.activation, total(f));
  args.store<float>(first_row + row, feature, gated ? value * total(1) : value);
}

}  // namespace internvl::cuda
