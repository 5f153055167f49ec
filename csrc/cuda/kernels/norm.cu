#include "backend/checks.h"
#include "cuda/kernels/kernels.h"
#include "cuda/kernels/norm.cuh"

namespace internvl::cuda {
namespace {

unsigned norm_threads(std::int64_t cols) {
  return static_cast<unsigned>(divide_up(cols, kNormQuads * kQuad * kWarp) * kWarp);
}

NormMatrix norm_matrix(const Tensor& out, const Tensor& x, const NormWeights& weights) {
  check(out.rows == x.rows && out.cols == x.cols, "norm: out: expected shape (", x.rows, ", ",
        x.cols, "), got (", out.rows, ", ", out.cols, ")");
  check(x.cols >= 1 && x.cols <= kNormColumns, "norm: expected 1 to ", kNormColumns,
        " columns, got ", x.cols);
  return {out.data,
          x.data,
          out.stride,
          x.stride,
          static_cast<int>(x.cols),
          has_quads(out) && has_quads(x),
          {weights.weight, weights.bias, weights.eps, weights.centered}};
}

void run_norm(Stream stream, DType out_dtype, DType x_dtype, std::int64_t rows,
              const NormMatrix& first, const NormMatrix* second) {
  if (rows == 0) return;
  const Grid grid{static_cast<unsigned>(rows), second == nullptr ? 1u : 2u};
  with_element(out_dtype, [&](auto out) {
    with_element(x_dtype, [&](auto x) {
      launch(norm_kernel<decltype(out), decltype(x)>, grid, norm_threads(first.cols), 0, stream,
             first, second == nullptr ? first : *second);
    });
  });
}

}  // namespace

void norm(Stream stream, Tensor out, Tensor x, const NormWeights& weights) {
  run_norm(stream, out.dtype, x.dtype, x.rows, norm_matrix(out, x, weights), nullptr);
}

void qk_norm(Stream stream, Tensor q, Tensor k, const NormWeights& q_weights,
             const NormWeights& k_weights) {
  check_qk_norm(q, k);
  const NormMatrix keys = norm_matrix(k, k, k_weights);
  run_norm(stream, q.dtype, q.dtype, q.rows, norm_matrix(q, q, q_weights), &keys);
}

void add_norm(Stream stream, Tensor out, Tensor residual, Tensor branch, const float* bias,
              const float* scale, const NormWeights& weights) {
  NormMatrix matrix = norm_matrix(out, residual, weights);
  check(residual.dtype == DType::kFloat32, "add_norm: residual: expected float32, got ",
        name_of(residual.dtype));
  check(branch.rows == residual.rows && branch.cols == residual.cols,
        "add_norm: branch: expected shape (", residual.rows, ", ", residual.cols, "), got (",
        branch.rows, ", ", branch.cols, ")");
  matrix.aligned = matrix.aligned && has_quads(branch);
  if (residual.rows == 0) return;
  with_element(out.dtype, [&](auto to) {
    with_element(branch.dtype, [&](auto from) {
      launch(add_norm_kernel<decltype(to), decltype(from)>,
             Grid{static_cast<unsigned>(residual.rows)}, norm_threads(matrix.cols), 0, stream,
             matrix, NormBranch{branch.data, branch.stride, bias, scale});
    });
  });
}

void pixel_shuffle_norm(Stream stream, Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                        bool transposed, const NormWeights& weights) {
  const PixelShuffle shuffle = pixel_shuffle_of(out, x, side, factor, transposed);
  check(x.dtype == DType::kFloat32, "pixel_shuffle_norm: x: expected float32, got ",
        name_of(x.dtype));
  Tensor shuffled = x;
  shuffled.rows = out.rows;
  shuffled.cols = out.cols;
  NormMatrix matrix = norm_matrix(out, shuffled, weights);
  matrix.aligned = matrix.aligned && x.cols % kQuad == 0;
  if (out.rows == 0) return;
  with_element(out.dtype, [&](auto to) {
    launch(shuffle_norm_kernel<decltype(to)>, Grid{static_cast<unsigned>(out.rows)},
           norm_threads(matrix.cols), 0, stream, matrix, shuffle);
  });
}

}  // namespace internvl::cuda
