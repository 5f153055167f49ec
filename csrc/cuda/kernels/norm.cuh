// RMS and layer norm of rows, alone or after the residual has taken in a branch. One block a row,
// which it keeps in registers. Everything is float32 and rounded once, at the end.
#pragma once

#include "cuda/kernels/element.cuh"
#include "cuda/kernels/reduce.cuh"
#include "cuda/kernels/rows.cuh"

namespace internvl::cuda {

constexpr int kNormQuads = 4;                            // a thread holds 16 columns
constexpr int kNormColumns = kNormQuads * kQuad * 1024;  // at most

struct NormParameters {
  const float* weight;
  const float* bias;  // or null
  float eps;
  bool centered;  // layer norm
};

/// A matrix and what its columns are multiplied with.
struct NormMatrix {
  void* out;
  const void* x;
  std::int64_t out_stride;
  std::int64_t x_stride;
  int cols;
  bool aligned;  // x and out by quads
  NormParameters parameters;
};

/// residual += scale * (branch + bias) before the norm of it.
struct NormBranch {
  const void* data;
  std::int64_t stride;
  const float* bias;   // or null
  const float* scale;  // or null
};

/// The columns of quad v of this thread.
__device__ __forceinline__ int norm_column(int v) {
  return static_cast<int>((v * blockDim.x + threadIdx.x) * kQuad);
}

template <class Out>
__device__ __forceinline__ void norm_row(Out* out, float (&x)[kNormQuads][kQuad], int cols,
                                         bool aligned, const NormParameters& parameters) {
  INTERNVL_SHARED(float, scratch, 2 * kWarp);
  const float count = static_cast<float>(cols);
  float mean = 0.0f;
  if (parameters.centered) {
    float sum = 0.0f;
    for (int v = 0; v < kNormQuads; ++v) {
      for (int i = 0; i < kQuad; ++i) sum += x[v][i];
    }
    mean = sum_block(sum, scratch) / count;
  }
  float squares = 0.0f;
  for (int v = 0; v < kNormQuads; ++v) {
    for (int i = 0; i < kQuad; ++i) {
      const float distance = norm_column(v) + i < cols ? x[v][i] - mean : 0.0f;
      x[v][i] = distance;
      squares += distance * distance;
    }
  }
  const float factor = 1.0f / sqrtf(sum_block(squares, scratch + kWarp) / count + parameters.eps);
  for (int v = 0; v < kNormQuads; ++v) {
    const int column = norm_column(v);
    if (column >= cols) break;
    float weight[kQuad], bias[kQuad];
    load_quad(weight, parameters.weight, column, cols, false);
    for (int i = 0; i < kQuad; ++i) x[v][i] = x[v][i] * factor * weight[i];
    if (parameters.bias != nullptr) {
      load_quad(bias, parameters.bias, column, cols, false);
      for (int i = 0; i < kQuad; ++i) x[v][i] += bias[i];
    }
    store_quad(out, column, cols, x[v], aligned);
  }
}

/// Block (row, part): q and k are two parts, other norms have one.
template <class Out, class X>
__global__ void __launch_bounds__(1024) norm_kernel(const __grid_constant__ NormMatrix first,
                                                    const __grid_constant__ NormMatrix second) {
  const NormMatrix& matrix = blockIdx.y == 0 ? first : second;
  const X* row = static_cast<const X*>(matrix.x) + blockIdx.x * matrix.x_stride;
  float x[kNormQuads][kQuad];
  for (int v = 0; v < kNormQuads; ++v) {
    load_quad(x[v], row, norm_column(v), matrix.cols, matrix.aligned);
  }
  norm_row(static_cast<Out*>(matrix.out) + blockIdx.x * matrix.out_stride, x, matrix.cols,
           matrix.aligned, matrix.parameters);
}

/// `matrix.x` is the residual, which is float32 and changes.
template <class Out, class Branch>
__global__ void __launch_bounds__(1024) add_norm_kernel(NormMatrix matrix, NormBranch branch) {
  float* residual = static_cast<float*>(const_cast<void*>(matrix.x)) + blockIdx.x * matrix.x_stride;
  const Branch* added = static_cast<const Branch*>(branch.data) + blockIdx.x * branch.stride;
  const int cols = matrix.cols;
  float x[kNormQuads][kQuad];
  for (int v = 0; v < kNormQuads; ++v) {
    const int column = norm_column(v);
    float term[kQuad], factor[kQuad];
    load_quad(x[v], residual, column, cols, matrix.aligned);
    load_quad(term, added, column, cols, matrix.aligned);
    if (branch.bias != nullptr) {
      load_quad(factor, branch.bias, column, cols, false);
      for (int i = 0; i < kQuad; ++i) term[i] += factor[i];
    }
    for (int i = 0; i < kQuad; ++i) factor[i] = 1.0f;
    if (branch.scale != nullptr) load_quad(factor, branch.scale, column, cols, false);
    for (int i = 0; i < kQuad; ++i) x[v][i] = fmaf(factor[i], term[i], x[v][i]);
    store_quad(residual, column, cols, x[v], matrix.aligned);
  }
  norm_row(static_cast<Out*>(matrix.out) + blockIdx.x * matrix.out_stride, x, cols, matrix.aligned,
           matrix.parameters);
}

/// The norm of pixel-shuffled rows: matrix.x is the grid, which is float32.
template <class Out>
__global__ void __launch_bounds__(1024)
    shuffle_norm_kernel(NormMatrix matrix, PixelShuffle shuffle) {
  const float* grid = static_cast<const float*>(matrix.x);
  float x[kNormQuads][kQuad];
  for (int v = 0; v < kNormQuads; ++v) {
    const int column = norm_column(v);
    if (matrix.aligned) {  // a quad lies in one row of the grid
      const std::int64_t from = shuffle.source_row(blockIdx.x, column / shuffle.channels);
      const int channel = column % shuffle.channels;
      load_quad(x[v], grid + from * matrix.x_stride, channel,
                column < matrix.cols ? shuffle.channels : 0, true);
    } else {
      for (int i = 0; i < kQuad; ++i) {
        x[v][i] = 0.0f;
        if (column + i >= matrix.cols) continue;
        const std::int64_t from = shuffle.source_row(blockIdx.x, (column + i) / shuffle.channels);
        x[v][i] = grid[from * matrix.x_stride + (column + i) % shuffle.channels];
      }
    }
  }
  norm_row(static_cast<Out*>(matrix.out) + blockIdx.x * matrix.out_stride, x, matrix.cols,
           matrix.aligned, matrix.parameters);
}

}  // namespace internvl::cuda
