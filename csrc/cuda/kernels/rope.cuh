// Rotary embedding of queries and keys, and storing keys and values. A warp has one head of a row.
#pragma once

#include "cuda/kernels/kv.cuh"

namespace internvl::cuda {

constexpr unsigned kRopeWarps = 4;

/// Block (row, heads by kRopeWarps); qkv(r) = [q | k | v]. Rows outside of all segments stay.
template <class T>
__global__ void __launch_bounds__(kRopeWarps* kWarp)
    rope_store_kv_kernel(T* qkv, std::int64_t qkv_stride, const float* table,
                         std::int64_t table_stride, int heads, KvPages kv) {
  const int row = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y * kRopeWarps + threadIdx.x / kWarp);
  if (head >= heads + 2 * kv.kv_heads) return;
  int s = 0;
  while (s < kv.segment_count &&
         (row < kv.segments[s].row || row >= kv.segments[s].row + kv.segments[s].rows)) {
    ++s;
  }
  if (s == kv.segment_count) return;
  const DeviceSegment& segment = kv.segments[s];

  const int half = kv.head_dim / 2;
  const bool rotates = head < heads + kv.kv_heads;
  const bool stores = segment.stores != 0 && head >= heads;
  T* x = qkv + row * qkv_stride + std::int64_t{head} * kv.head_dim;
  T* to = x;
  if (stores) {
    const int kv_head = rotates ? head - heads : head - heads - kv.kv_heads;
    to = key_of<T>(kv, segment, kv_head, segment.past + row - segment.row);
    if (!rotates) to += value_offset(kv);
  }
  const float* cos = table + row * table_stride;
  const float* sin = cos + half;
  for (int i = static_cast<int>(threadIdx.x % kWarp); i < half; i += kWarp) {
    T x1 = x[i], x2 = x[half + i];
    if (rotates) {
      const float a = widen(x1), b = widen(x2);
      x1 = narrow<T>(a * cos[i] - b * sin[i]);
      x2 = narrow<T>(b * cos[i] + a * sin[i]);
      x[i] = x1;
      x[half + i] = x2;
    }
    if (stores) {
      to[i] = x1;
      to[half + i] = x2;
    }
  }
}

}  // namespace internvl::cuda
