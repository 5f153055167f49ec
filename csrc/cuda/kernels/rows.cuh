// Kernels that put rows in other places or dtypes: patches of tiles, embeddings, the pixel shuffle.
// One block a row of the result.
#pragma once

#include "cuda/kernels/element.cuh"

namespace internvl::cuda {

constexpr unsigned kRowThreads = 128;

template <class Out, class In>
__device__ __forceinline__ void copy_row(Out* out, const In* x, int cols, bool aligned) {
  for (int c = static_cast<int>(threadIdx.x) * kQuad; c < cols; c += kRowThreads * kQuad) {
    float values[kQuad];
    load_quad(values, x, c, cols, aligned);
    store_quad(out, c, cols, values, aligned);
  }
}

struct Patches {
  int channels, height, width, patch;
  int cols;  // of the result, at least channels * patch^2
};

template <class Out, class In>
__global__ void __launch_bounds__(kRowThreads)
    patchify_kernel(Out* out, std::int64_t out_stride, const In* pixels, std::int64_t tile_stride,
                    Patches patches) {
  const int patch = patches.patch;
  const int across = patches.width / patch;
  const int count = patches.height / patch * across;  // of a tile
  const int tile = static_cast<int>(blockIdx.x) / count;
  const int index = static_cast<int>(blockIdx.x) % count;
  const In* corner = pixels + tile * tile_stride +
                     std::int64_t{index / across} * patch * patches.width + index % across * patch;
  Out* row = out + blockIdx.x * out_stride;
  const int used = patches.channels * patch * patch;
  for (int c = static_cast<int>(threadIdx.x); c < patches.cols; c += kRowThreads) {
    const int channel = c / (patch * patch), y = c / patch % patch, x = c % patch;
    const std::int64_t at = (std::int64_t{channel} * patches.height + y) * patches.width + x;
    row[c] = narrow<Out>(c < used ? widen(corner[at]) : 0.0f);
  }
}

template <class Patch>
__global__ void __launch_bounds__(kRowThreads)
    vision_embed_kernel(float* hidden, std::int64_t hidden_stride, const Patch* patches,
                        std::int64_t patch_stride, const float* class_embedding,
                        const float* position, std::int64_t position_stride, int tokens, int cols,
                        bool aligned) {
  const int tile = static_cast<int>(blockIdx.x) / tokens;
  const int token = static_cast<int>(blockIdx.x) % tokens;
  const Patch* patch = patches + (std::int64_t{tile} * (tokens - 1) + token - 1) * patch_stride;
  float* row = hidden + blockIdx.x * hidden_stride;
  for (int c = static_cast<int>(threadIdx.x) * kQuad; c < cols; c += kRowThreads * kQuad) {
    float values[kQuad], where[kQuad];
    if (token == 0) {
      load_quad(values, class_embedding, c, cols, aligned);
    } else {
      load_quad(values, patch, c, cols, aligned);
    }
    load_quad(where, position + token * position_stride, c, cols, aligned);
    for (int i = 0; i < kQuad; ++i) values[i] += where[i];
    store_quad(row, c, cols, values, aligned);
  }
}

/// Without `rows`, row r of the result is row r of the table.
template <class Out, class In>
__global__ void __launch_bounds__(kRowThreads)
    gather_rows_kernel(Out* out, std::int64_t out_stride, const In* table,
                       std::int64_t table_stride, const std::int32_t* rows, int cols,
                       bool aligned) {
  const std::int64_t from = rows == nullptr ? std::int64_t{blockIdx.x} : rows[blockIdx.x];
  if (from < 0) return;
  copy_row(out + blockIdx.x * out_stride, table + from * table_stride, cols, aligned);
}

/// Where the rows of a pixel shuffle come from.
struct PixelShuffle {
  int side, factor, channels;
  bool transposed;

  /// Row of x whose columns are part `part`, dy * factor + dx, of row `row` of the result.
  __device__ std::int64_t source_row(std::int64_t row, int part) const {
    const int small = side / factor;
    const std::int64_t tile = row / (small * small);
    const int place = static_cast<int>(row % (small * small));
    const int i = transposed ? place % small : place / small;
    const int j = transposed ? place / small : place % small;
    return tile * (side * side + 1) + 1 + (i * factor + part / factor) * side + j * factor +
           part % factor;
  }
};

template <class Out, class In>
__global__ void __launch_bounds__(kRowThreads)
    pixel_shuffle_kernel(Out* out, std::int64_t out_stride, const In* x, std::int64_t x_stride,
                         PixelShuffle shuffle, bool aligned) {
  Out* row = out + blockIdx.x * out_stride;
  for (int part = 0; part < shuffle.factor * shuffle.factor; ++part) {
    copy_row(row + part * shuffle.channels, x + shuffle.source_row(blockIdx.x, part) * x_stride,
             shuffle.channels, aligned);
  }
}

/// The shuffle, after checking the shapes.
PixelShuffle pixel_shuffle_of(const Tensor& out, const Tensor& x, std::int64_t side,
                              std::int64_t factor, bool transposed);

}  // namespace internvl::cuda
