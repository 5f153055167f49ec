// What the attention kernels share: which rows, keys and values a block has, and the softmax.
//
// A block has some query rows of one sequence and one key-value head. A query row is a token and
// one of the `group` query heads that share the key-value head, row = token * group + head, so that
// keys and values are read once for all of them. Keys are taken in tiles that begin at multiples of
// the tile's size, and keys that a row does not see have weight zero: what a row gets does not
// depend on the rows beside it.
//
// Rounding is the CPU's (backend/cpu/attention_impl.h): scores, maxima and sums in float32, weights
// rounded to the dtype of the values before they meet them.
#pragma once

#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/reduce.cuh"

namespace internvl::cuda {

/// Keys of one part of a split sequence: fixed, so that results do not depend on the batch. A part
/// is the work of one warp for a key-value head: two tiles, so that a short context already keeps
/// more multiprocessors busy than there are heads.
constexpr int kSplitKeys = 128;
constexpr float kLowest = -3.40282347e38f;  // -FLT_MAX

struct AttentionArguments {
  void* out;
  const void* q;
  const void* k;  // of the first token; null if keys and values are in pages
  const void* v;
  std::int64_t out_stride;
  std::int64_t stride;  // of q, k and v
  KvPages kv;           // without pages, only kv_heads and head_dim are used
  int group;            // query heads of a key-value head
  int tokens;           // without pages: rows of each sequence
  float scale;          // without pages
  int splits;           // 1: not split; otherwise parts of kSplitKeys keys
  float* partial;       // of split sequences (see Partial)
};

/// What block (query tile, key-value head, sequence * splits + split) works on.
template <class T>
struct AttentionBlock {
  const T* q;  // of the first token of the sequence, first head of the group
  T* out;
  const T* k;  // null: in pages
  const T* v;
  DeviceSegment segment;
  int head;  // key-value head
  int split;
  int rows;  // of the sequence: tokens * group
  bool causal;

  __device__ explicit AttentionBlock(const AttentionArguments& args) {
    const int sequence = static_cast<int>(blockIdx.z) / args.splits;
    head = static_cast<int>(blockIdx.y);
    split = static_cast<int>(blockIdx.z) % args.splits;
    if (args.k == nullptr) {
      segment = args.kv.segments[sequence];
    } else {
      segment = {sequence * args.tokens, args.tokens, args.tokens, 0, 0, args.scale};
    }
    causal = segment.stores != 0;
    rows = segment.rows * args.group;
    const std::int64_t column = std::int64_t{head} * args.group * args.kv.head_dim;
    const std::int64_t first = segment.row * args.stride;
    q = static_cast<const T*>(args.q) + first + column;
    out = static_cast<T*>(args.out) + segment.row * args.out_stride + column;
    const std::int64_t kv_column = std::int64_t{head} * args.kv.head_dim;
    k = args.k == nullptr ? nullptr : static_cast<const T*>(args.k) + first + kv_column;
    v = args.k == nullptr ? nullptr : static_cast<const T*>(args.v) + first + kv_column;
  }

  /// Keys that a row sees: [0, visible).
  __device__ int visible(int row, int group) const {
    return causal ? segment.past + row / group + 1 : segment.past;
  }

  __device__ std::int64_t query_offset(int row, int group, std::int64_t stride,
                                       int head_dim) const {
    return row / group * stride + std::int64_t{row % group} * head_dim;
  }
};

/// What a split leaves of a query row for the combination: the maximum of its scaled scores, the
/// sum of the weights, and the weighted sum of the values (head_dim).
__device__ __forceinline__ float* partial_of(const AttentionArguments& args, int activation_row,
                                             int query_head, int split) {
  const std::int64_t heads = std::int64_t{args.kv.kv_heads} * args.group;
  const std::int64_t index = (activation_row * heads + query_head) * args.splits + split;
  return args.partial + index * (args.kv.head_dim + 2);
}

constexpr int kMaxHeadDim = 256;
constexpr int kCombineThreads = 128;

/// Block (row, query head): the parts of a query row, in order. A thread has one part while weights
/// are computed, and some columns while values are added up.
template <class T>
__global__ void __launch_bounds__(kCombineThreads)
    combine_kernel(const __grid_constant__ AttentionArguments args) {
  const int row = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  int s = 0;
  while (s < args.kv.segment_count && (row < args.kv.segments[s].row ||
                                       row >= args.kv.segments[s].row + args.kv.segments[s].rows)) {
    ++s;
  }
  if (s == args.kv.segment_count) return;
  const DeviceSegment& segment = args.kv.segments[s];
  const int keys = segment.stores != 0 ? segment.past + row - segment.row + 1 : segment.past;
  const int parts = (keys + kSplitKeys - 1) / kSplitKeys;
  const int head_dim = args.kv.head_dim;
  const int stride = head_dim + 2;
  const float* first = partial_of(args, row, head, 0);

  constexpr int kWarps = kCombineThreads / kWarp;
  INTERNVL_SHARED(float, maxima, kWarps);
  INTERNVL_SHARED(float, weights, kCombineThreads);
  INTERNVL_SHARED(float, totals, kCombineThreads);
  const int thread = static_cast<int>(threadIdx.x);
  float maximum = kLowest;
  for (int p = thread; p < parts; p += kCombineThreads) {
    maximum = fmaxf(maximum, first[std::int64_t{p} * stride]);
  }
  maximum = reduce_lanes(maximum, Maximum());
  if (threadIdx.x % kWarp == 0) maxima[threadIdx.x / kWarp] = maximum;
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) maximum = fmaxf(maximum, maxima[warp]);

  constexpr int kColumns = kMaxHeadDim / kCombineThreads;
  float total = 0.0f, sums[kColumns] = {};
  for (int begin = 0; begin < parts; begin += kCombineThreads) {
    const int count = min(parts - begin, kCombineThreads);
    const float* part = first + std::int64_t{begin} * stride;
    __syncthreads();  // the weights before these have been read
    if (thread < count) {
      weights[thread] = exp2_approximate(part[thread * stride] - maximum);
      totals[thread] = part[thread * stride + 1];
    }
    __syncthreads();
#pragma unroll 4
    for (int p = 0; p < count; ++p) {
      total = fmaf(weights[p], totals[p], total);
      for (int c = 0; c < kColumns; ++c) {
        const int d = c * kCombineThreads + thread;
        if (d < head_dim) sums[c] = fmaf(weights[p], part[p * stride + 2 + d], sums[c]);
      }
    }
  }
  const float inverse = keys > 0 ? 1.0f / total : 0.0f;
  T* out = static_cast<T*>(args.out) + row * args.out_stride + std::int64_t{head} * head_dim;
  for (int c = 0; c < kColumns; ++c) {
    const int d = c * kCombineThreads + thread;
    if (d < head_dim) out[d] = narrow<T>(sums[c] * inverse);
  }
}

}  // namespace internvl::cuda
