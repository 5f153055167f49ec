// Products of a few rows of bfloat16 or float16, on the tensor cores: W is read once for all rows,
// and multiplying is little work beside that. A block has 16 rows of W, or 8 rows of gates and the
// 8 of up that belong to them, as the left operand; its warps take turns along the depth and add
// their sums at the end. Eight rows of x are the columns of a right operand.
//
// Which element is which along the depth is nothing to a product, as long as both operands agree: a
// lane reads 16 bytes of a row at once, eight elements, four of which are its part of one mma.sync
// and four of the next one. So nothing goes through shared memory.
//
// A lane has eight such reads of W on the way while it multiplies eight others: 32 KiB for the 8
// warps of a block (see gemv_float.cuh for what is enough).
#pragma once

#include "cuda/kernels/gemv.cuh"
#include "cuda/kernels/kernels.h"

namespace internvl::cuda {

constexpr int kMmaWarps = 8;
constexpr int kMmaWeightRows = 16;                    // of a block
constexpr int kMmaTileRows = 8;                       // rows of x in a right operand
constexpr int kMmaTiles = kFewRows / kMmaTileRows;    // at most
constexpr int kMmaReads = 4;                          // of a row, by a lane, at a time
constexpr int kMmaReadElements = 8;                   // 16 bytes
constexpr int kMmaReadDepth = 4 * kMmaReadElements;   // by the four lanes that share a row
constexpr int kMmaDepth = kMmaReads * kMmaReadDepth;  // of a warp's turn

/// row[first ...] in pairs, zeros from `depth` on. kAligned: to 16 bytes, `depth` included.
template <bool kAligned, bool kOnce, class T>
__device__ __forceinline__ Bytes16 load_pairs(const T* row, int first, int depth) {
  if (kAligned && kOnce) return load_once(row + first, first < depth);
  if (kAligned) return load_again(row + first, first < depth);
  const auto bits = [&](int k) { return k < depth ? std::uint32_t{row[k].bits} : 0u; };
  Bytes16 pairs;
  for (int i = 0; i < 4; ++i) {
    pairs.words[i] = bits(first + 2 * i) | bits(first + 2 * i + 1) << 16;
  }
  return pairs;
}

/// Block (rows of the weight, rows of x by kTiles times eight).
template <class T, int kTiles, bool kAligned>
__global__ void __launch_bounds__(kMmaWarps* kWarp, kTiles < kMmaTiles ? 2 : 1)
    gemv_mma_kernel(const __grid_constant__ GemvArguments args) {
  constexpr int kHalf = kMmaWeightRows / 2;
  const bool gated = args.gated();
  const int block = static_cast<int>(blockIdx.x);
  const int first_row = static_cast<int>(blockIdx.y) * kTiles * kMmaTileRows;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  // Row i of the upper or of the lower half of the left operand.
  const auto weight_row = [&](int half, int i) {
    return gated ? half * args.features + block * kHalf + i
                 : block * kMmaWeightRows + half * kHalf + i;
  };
  const T* weight[2];
  for (int half = 0; half < 2; ++half)
    weight[half] = args.weight_row<T>(weight_row(half, lane / 4));
  const T* x = static_cast<const T*>(args.x);

  const auto load = [&](Bytes16(&w)[kMmaReads][2], int k) {
    for (int i = 0; i < kMmaReads; ++i) {
      for (int half = 0; half < 2; ++half) {
        w[i][half] = load_pairs<kAligned, true>(weight[half], k + i * kMmaReadDepth, args.depth);
      }
    }
  };

  float sums[kTiles][4] = {};
  Bytes16 w[kMmaReads][2], next[kMmaReads][2];
  load(w, warp * kMmaDepth + lane % 4 * kMmaReadElements);
  for (int first = warp * kMmaDepth; first < args.depth; first += kMmaWarps * kMmaDepth) {
    const int k = first + lane % 4 * kMmaReadElements;
    load(next, k + kMmaWarps * kMmaDepth);  // on the way while these are multiplied
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int row = first_row + tile * kMmaTileRows + lane / 4;
      for (int i = 0; i < kMmaReads; ++i) {
        // A row that does not exist has no columns: zeros.
        const Bytes16 v = load_pairs<kAligned, false>(
            x + row * args.x_stride, k + i * kMmaReadDepth, row < args.rows ? args.depth : 0);
        for (int j = 0; j < 4; j += 2) {
          const std::uint32_t a[4] = {w[i][0].words[j], w[i][1].words[j], w[i][0].words[j + 1],
                                      w[i][1].words[j + 1]};
          multiply_add<T>(sums[tile], a, v.words + j);
        }
      }
    }
    for (int i = 0; i < kMmaReads; ++i) {
      for (int half = 0; half < 2; ++half) w[i][half] = next[i][half];
    }
  }

  constexpr int kSums = kTiles * kMmaWeightRows * kMmaTileRows;
  INTERNVL_SHARED(float, parts, kMmaWarps* kSums);
  for (int tile = 0; tile < kTiles; ++tile) {
    Quad<float> quad;
    for (int i = 0; i < 4; ++i) quad.elements[i] = sums[tile][i];
    const int at = warp * kSums + (tile * static_cast<int>(kWarp) + lane) * 4;
    store_vector(reinterpret_cast<Quad<float>*>(parts + at), quad);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kSums; i += kMmaWarps * kWarp) {
    // Element i % 4 of a lane: its lower bit is the row of x, its upper one the half.
    const int from = i / 4 % kWarp, half = i / 2 % 2;
    const int row = first_row + i / 4 / kWarp * kMmaTileRows + from % 4 * 2 + i % 2;
    const int feature = gated ? block * kHalf + from / 4 : weight_row(half, from / 4);
    if (row >= args.rows || feature >= args.features || (gated && half == 1)) continue;
    const auto total = [&](int of) {
      float sum = 0.0f;
      for (int part = 0; part < kMmaWarps; ++part) sum += parts[part * kSums + i + 2 * (of - half)];
      return args.biased(sum, weight_row(of, from / 4));
    };
    const float value = activate(args.activation, total(half));
    args.store<T>(row, feature, gated ? value * total(1) : value);
  }
}

}  // namespace internvl::cuda
