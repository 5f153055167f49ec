// Attention in float32 arithmetic, for float32 and for heads that the tensor core kernel does not
// take. A warp has four query rows; in the scores a lane is a key, in the sums it is some columns.
#pragma once

#include "cuda/kernels/attention.cuh"

namespace internvl::cuda {

constexpr int kPlainWarps = 4;
constexpr int kPlainRows = 4;  // of a warp
constexpr int kPlainKeys = 32;

/// Bytes of shared memory: queries, keys (rows one element longer: lanes read a column) and values.
inline std::size_t plain_shared_bytes(std::int64_t head_dim) {
  const auto round = [](std::int64_t floats) { return (floats + 3) / 4 * 4; };
  return sizeof(float) * (round(kPlainWarps * kPlainRows * head_dim) +
                          round(kPlainKeys * (head_dim + 1)) + round(kPlainKeys * head_dim));
}

/// kColumns: head_dim / 32, rounded up.
template <class T, int kColumns, bool kSplit>
__global__ void __launch_bounds__(kPlainWarps* kWarp, 2)
    plain_attention_kernel(const __grid_constant__ AttentionArguments args) {
  const AttentionBlock<T> block(args);
  const int head_dim = args.kv.head_dim;
  constexpr int kRows = kPlainWarps * kPlainRows;
  constexpr int kThreads = kPlainWarps * kWarp;
  const int first_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;
  if (first_row >= block.rows) return;
  const int begin = kSplit ? block.split * kSplitKeys : 0;
  int end = block.visible(min(first_row + kRows, block.rows) - 1, args.group);
  if (kSplit) end = min(end, begin + kSplitKeys);
  if (kSplit && begin >= end) return;

  const auto round = [](int floats) { return (floats + 3) / 4 * 4; };
  const int key_stride = head_dim + 1;
  const int keys_at = round(kRows * head_dim);
  const int values_at = keys_at + round(kPlainKeys * key_stride);
  float* queries = dynamic_shared<float>(0, kRows * head_dim);
  float* keys = dynamic_shared<float>(keys_at * sizeof(float), kPlainKeys * key_stride);
  float* values = dynamic_shared<float>(values_at * sizeof(float), kPlainKeys * head_dim);

  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int warp_row = static_cast<int>(threadIdx.x / kWarp) * kPlainRows;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * head_dim; i += kThreads) {
    const int row = first_row + i / head_dim;
    queries[i] = row < block.rows
                     ? widen(block.q[block.query_offset(row, args.group, args.stride, head_dim) +
                                     i % head_dim])
                     : 0.0f;
  }
  float maximum[kPlainRows], total[kPlainRows], sums[kPlainRows][kColumns];
  for (int r = 0; r < kPlainRows; ++r) {
    maximum[r] = kLowest;
    total[r] = 0.0f;
    for (int c = 0; c < kColumns; ++c) sums[r][c] = 0.0f;
  }
  const float scale = block.segment.scale * 1.44269504f;  // e^x = 2^(x / ln 2)
  for (int first = begin; first < end; first += kPlainKeys) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kPlainKeys * head_dim; i += kThreads) {
      const int key = i / head_dim, d = i % head_dim;
      float k = 0.0f, v = 0.0f;
      if (first + key < end) {
        if (block.k != nullptr) {
          k = widen(block.k[(first + key) * args.stride + d]);
          v = widen(block.v[(first + key) * args.stride + d]);
        } else {
          const T* stored = key_of<T>(args.kv, block.segment, block.head, first + key);
          k = widen(stored[d]);
          v = widen(stored[value_offset(args.kv) + d]);
        }
      }
      keys[key * key_stride + d] = k;
      values[i] = v;
    }
    __syncthreads();

    float scores[kPlainRows] = {};
    for (int d = 0; d < head_dim; ++d) {
      const float key = keys[lane * key_stride + d];
      for (int r = 0; r < kPlainRows; ++r) {
        scores[r] = fmaf(queries[(warp_row + r) * head_dim + d], key, scores[r]);
      }
    }
    for (int r = 0; r < kPlainRows; ++r) {
      const int visible = block.visible(first_row + warp_row + r, args.group);
      const float score = first + lane < visible ? scores[r] * scale : -INFINITY;
      const float highest = fmaxf(maximum[r], reduce_lanes(score, Maximum()));
      const float decay = exp2f(maximum[r] - highest);
      const float weight = exp2f(score - highest);
      maximum[r] = highest;
      total[r] = total[r] * decay + reduce_lanes(weight, Add());
      for (int c = 0; c < kColumns; ++c) sums[r][c] *= decay;
      scores[r] = widen(narrow<T>(weight));
    }
    for (int key = 0; key < kPlainKeys; ++key) {
      float weights[kPlainRows];
      for (int r = 0; r < kPlainRows; ++r) weights[r] = __shfl_sync(kAllLanes, scores[r], key);
      for (int c = 0; c < kColumns; ++c) {
        const int d = c * static_cast<int>(kWarp) + lane;
        const float value = d < head_dim ? values[key * head_dim + d] : 0.0f;
        for (int r = 0; r < kPlainRows; ++r) sums[r][c] = fmaf(weights[r], value, sums[r][c]);
      }
    }
  }

  for (int r = 0; r < kPlainRows; ++r) {
    const int row = first_row + warp_row + r;
    if (row >= block.rows) return;
    float* partial = nullptr;
    if (kSplit) {
      partial = partial_of(args, block.segment.row + row / args.group,
                           block.head * args.group + row % args.group, block.split);
      if (lane == 0) {
        partial[0] = maximum[r];
        partial[1] = total[r];
      }
    }
    T* out = block.out + block.query_offset(row, args.group, args.out_stride, head_dim);
    const float inverse = block.visible(row, args.group) > 0 ? 1.0f / total[r] : 0.0f;
    for (int c = 0; c < kColumns; ++c) {
      const int d = c * static_cast<int>(kWarp) + lane;
      if (d >= head_dim) break;
      if (kSplit) {
        partial[2 + d] = sums[r][c];
      } else {
        out[d] = narrow<T>(sums[r][c] * inverse);
      }
    }
  }
}

}  // namespace internvl::cuda
