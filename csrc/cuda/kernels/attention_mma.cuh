// Attention on the tensor cores, for bfloat16 and float16 and heads of 64 or 128: FlashAttention-2
// with a warp for 16 query rows. Scores never leave the registers: the layout in which mma.sync
// leaves a product of queries and keys is the one in which it takes weights.
#pragma once

#include "cuda/kernels/attention.cuh"

namespace internvl::cuda {

constexpr int kWarpRows = 16;
constexpr int kTileKeys = 64;
constexpr int kChunk = 8;  // elements of 16 bytes

/// A matrix of rows of kHeadDim elements in shared memory. The chunks of a row are permuted so that
/// eight rows at the same column lie in different banks.
template <class T, int kHeadDim>
struct SharedRows {
  static constexpr int kChunks = kHeadDim / kChunk;
  T* data;

  __device__ T* at(int row, int column) const {
    return data + row * kHeadDim + ((column / kChunk) ^ (row % 8)) * kChunk;
  }

  /// Starts to copy rows [0, kRows), row r from `row_of(r)`; those with none (null) become zero.
  template <int kRows, unsigned kThreads, class RowOf>
  __device__ void copy(RowOf row_of, const T* anywhere) const {
    for (unsigned i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
      const int row = static_cast<int>(i) / kChunks,
                column = static_cast<int>(i) % kChunks * kChunk;
      const T* from = row_of(row);
      copy_async16(at(row, column), from == nullptr ? anywhere : from + column, from != nullptr);
    }
  }
};

/// Bytes of shared memory: queries, and two stages of keys and values.
template <int kHeadDim, int kWarps>
constexpr std::size_t mma_shared_bytes() {
  return std::size_t{2} * kHeadDim * (kWarps * kWarpRows + 4 * kTileKeys);
}

template <class T, int kHeadDim, int kWarps, bool kSplit>
struct MmaAttention {
  static constexpr int kRows = kWarps * kWarpRows;
  static constexpr unsigned kThreads = kWarps * kWarp;
  static constexpr int kSteps = kHeadDim / 16;  // of depth, in a product of queries and keys
  static constexpr int kScoreTiles = kTileKeys / 8;
  static constexpr int kValueTiles = kHeadDim / 8;
  using Rows = SharedRows<T, kHeadDim>;

  const AttentionArguments& args;
  const AttentionBlock<T> block;
  const int first_row;  // of the tile, in the rows of the sequence
  std::uint32_t queries[kSteps][4];
  float sums[kValueTiles][4];  // elements 0, 1 of row lane / 4; 2, 3 of the row 8 below
  float maximum[2];            // of the scaled scores of the two rows
  float total[2];              // this lane's part of the sums of weights

  __device__ explicit MmaAttention(const AttentionArguments& arguments)
      : args(arguments),
        block(arguments),
        first_row(static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows) {}

  static __device__ int lane() { return static_cast<int>(threadIdx.x % kWarp); }
  static __device__ int warp() { return static_cast<int>(threadIdx.x / kWarp); }

  __device__ const T* key_rows(int first_key) const {
    if (block.k != nullptr) return block.k + first_key * args.stride;
    return key_of<T>(args.kv, block.segment, block.head, first_key);
  }

  /// Starts to copy the keys and values [first_key, end) of a tile, zeros behind the end.
  __device__ void copy_tile(Rows keys, Rows values, int first_key, int end) const {
    const T* first = key_rows(first_key);
    const std::int64_t to_value = block.k != nullptr ? block.v - block.k : value_offset(args.kv);
    const std::int64_t stride = block.k != nullptr ? args.stride : kHeadDim;
    const int count = end - first_key;
    keys.template copy<kTileKeys, kThreads>(
        [&](int r) { return r < count ? first + r * stride : nullptr; }, first);
    values.template copy<kTileKeys, kThreads>(
        [&](int r) { return r < count ? first + to_value + r * stride : nullptr; }, first);
  }

  __device__ void load_queries(Rows rows) {
    for (int step = 0; step < kSteps; ++step) {
      load_matrices(queries[step],
                    rows.at(warp() * kWarpRows + lane() % 16, step * 16 + lane() / 16 * 8));
    }
  }

  /// scores = queries keys^T of a tile.
  __device__ void multiply_keys(float (&scores)[kScoreTiles][4], Rows keys) const {
    for (int n = 0; n < kScoreTiles; ++n) {
      for (int i = 0; i < 4; ++i) scores[n][i] = 0.0f;
    }
    for (int step = 0; step < kSteps; ++step) {
      for (int n = 0; n < kScoreTiles; n += 2) {  // 16 keys
        std::uint32_t b[4];
        load_matrices(
            b, keys.at(n * 8 + lane() / 16 * 8 + lane() % 8, step * 16 + lane() / 8 % 2 * 8));
        multiply_add<T>(scores[n], queries[step], b);
        multiply_add<T>(scores[n + 1], queries[step], b + 2);
      }
    }
  }

  /// Turns scores into weights, and lets earlier sums shrink where the maximum grew.
  __device__ void weigh(float (&scores)[kScoreTiles][4], int first_key, float scale) {
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + warp() * kWarpRows + lane() / 4 + half * 8;
      const int visible = block.visible(row, args.group);
      float highest = maximum[half];
      for (int n = 0; n < kScoreTiles; ++n) {
        for (int i = 0; i < 2; ++i) {
          float& score = scores[n][half * 2 + i];
          const int key = first_key + n * 8 + lane() % 4 * 2 + i;
          score = key < visible ? score * scale : -INFINITY;
          highest = fmaxf(highest, score);
        }
      }
      highest = reduce_lanes<4>(highest, Maximum());
      const float decay = exp2_approximate(maximum[half] - highest);
      maximum[half] = highest;
      total[half] *= decay;
      for (int n = 0; n < kValueTiles; ++n) {
        sums[n][half * 2] *= decay;
        sums[n][half * 2 + 1] *= decay;
      }
      for (int n = 0; n < kScoreTiles; ++n) {
        for (int i = 0; i < 2; ++i) {
          float& score = scores[n][half * 2 + i];
          score = exp2_approximate(score - highest);
          total[half] += score;
        }
      }
    }
  }

  /// sums += weights values of a tile.
  __device__ void multiply_values(const float (&weights)[kScoreTiles][4], Rows values) {
    for (int step = 0; step < kTileKeys / 16; ++step) {
      const float(&left)[4] = weights[2 * step];
      const float(&right)[4] = weights[2 * step + 1];
      const std::uint32_t a[4] = {
          narrow_pair<T>(left[0], left[1]), narrow_pair<T>(left[2], left[3]),
          narrow_pair<T>(right[0], right[1]), narrow_pair<T>(right[2], right[3])};
      for (int n = 0; n < kValueTiles; n += 2) {  // 16 columns
        std::uint32_t b[4];
        load_matrices_transposed(b, values.at(step * 16 + lane() % 16, n * 8 + lane() / 16 * 8));
        multiply_add<T>(sums[n], a, b);
        multiply_add<T>(sums[n + 1], a, b + 2);
      }
    }
  }

  __device__ void store() {
    for (int half = 0; half < 2; ++half) {
      const float sum = reduce_lanes<4>(total[half], Add());
      const int row = first_row + warp() * kWarpRows + lane() / 4 + half * 8;
      if (row >= block.rows) continue;
      if (kSplit) {
        float* partial = partial_of(args, block.segment.row + row / args.group,
                                    block.head * args.group + row % args.group, block.split);
        if (lane() % 4 == 0) {
          partial[0] = maximum[half];
          partial[1] = sum;
        }
        for (int n = 0; n < kValueTiles; ++n) {
          for (int i = 0; i < 2; ++i) {
            partial[2 + n * 8 + lane() % 4 * 2 + i] = sums[n][half * 2 + i];
          }
        }
      } else {
        const float inverse = block.visible(row, args.group) > 0 ? 1.0f / sum : 0.0f;
        T* out = block.out + block.query_offset(row, args.group, args.out_stride, kHeadDim);
        for (int n = 0; n < kValueTiles; ++n) {
          *reinterpret_cast<std::uint32_t*>(out + n * 8 + lane() % 4 * 2) =
              narrow_pair<T>(sums[n][half * 2] * inverse, sums[n][half * 2 + 1] * inverse);
        }
      }
    }
  }

  __device__ void run() {
    if (first_row >= block.rows) return;
    const int last_row = min(first_row + kRows, block.rows) - 1;
    const int begin = kSplit ? block.split * kSplitKeys : 0;
    int end = block.visible(last_row, args.group);
    if (kSplit) end = min(end, begin + kSplitKeys);
    if (kSplit && begin >= end) return;

    const Rows query_rows{dynamic_shared<T>(0, kRows * kHeadDim)};
    const auto stage = [](int index) {  // keys, values, and again
      return Rows{dynamic_shared<T>((kRows + index * kTileKeys) * kHeadDim * sizeof(T),
                                    kTileKeys * kHeadDim)};
    };
    query_rows.template copy<kRows, kThreads>(
        [&](int r) {
          return first_row + r < block.rows
                     ? block.q +
                           block.query_offset(first_row + r, args.group, args.stride, kHeadDim)
                     : nullptr;
        },
        block.q);
    if (begin < end) copy_tile(stage(0), stage(1), begin, end);
    commit_async();
    for (int half = 0; half < 2; ++half) {
      maximum[half] = kLowest;
      total[half] = 0.0f;
    }
    for (int n = 0; n < kValueTiles; ++n) {
      for (int i = 0; i < 4; ++i) sums[n][i] = 0.0f;
    }
    const float scale = block.segment.scale * 1.44269504f;  // e^x = 2^(x / ln 2)
    int current = 0;
    for (int key = begin; key < end; key += kTileKeys, current = 2 - current) {
      wait_async<0>();
      __syncthreads();  // the copies of all threads are there, and the other stage is read
      if (key + kTileKeys < end) {
        copy_tile(stage(2 - current), stage(3 - current), key + kTileKeys, end);
      }
      commit_async();
      if (key == begin) load_queries(query_rows);
      float scores[kScoreTiles][4];
      multiply_keys(scores, stage(current));
      weigh(scores, key, scale);
      multiply_values(scores, stage(current + 1));
    }
    wait_async<0>();  // the queries of rows that see nothing
    store();
  }
};

template <class T, int kHeadDim, int kWarps, bool kSplit>
__global__ void __launch_bounds__(kWarps* kWarp)
    mma_attention_kernel(const __grid_constant__ AttentionArguments args) {
  MmaAttention<T, kHeadDim, kWarps, kSplit>(args).run();
}

}  // namespace internvl::cuda
