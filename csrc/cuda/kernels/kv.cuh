// Where keys and values are. A page holds kKvPageTokens tokens of one sequence for all layers and
// key-value heads; a block of it is one layer and head: keys (kKvPageTokens, head_dim) row-major,
// then values.
#pragma once

#include "cuda/kernels/element.cuh"
#include "cuda/kernels/kernels.h"

namespace internvl::cuda {

struct KvPages {
  std::byte* const* pages;
  const DeviceSegment* segments;
  int segment_count;
  std::int64_t block;  // elements in front of the layer's first block
  int kv_heads;
  int head_dim;
};

inline KvPages kv_pages(const KvView& view) {
  return {view.pages,
          view.segments,
          static_cast<int>(view.segment_count),
          view.layer * view.kv_heads * 2 * kPageTokens * view.head_dim,
          static_cast<int>(view.kv_heads),
          static_cast<int>(view.head_dim)};
}

/// The key of a position, in the first of the two halves of its block.
template <class T>
__device__ __forceinline__ T* key_of(const KvPages& kv, const DeviceSegment& segment, int head,
                                     int position) {
  T* page = reinterpret_cast<T*>(kv.pages[segment.first_page + position / kPageTokens]);
  return page + kv.block +
         (std::int64_t{head} * 2 * kPageTokens + position % kPageTokens) * kv.head_dim;
}

/// From a key to the value of the same position.
__device__ __forceinline__ std::int64_t value_offset(const KvPages& kv) {
  return std::int64_t{kPageTokens} * kv.head_dim;
}

}  // namespace internvl::cuda
