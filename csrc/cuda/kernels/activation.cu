#include "core/error.h"
#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/kernels.h"

namespace internvl::cuda {
namespace {

/// `x_cols` is what x should have; results are float32 or have the dtype of x, unless x is float32.
void check_activation(const char* what, const Tensor& out, const Tensor& x, std::int64_t x_cols) {
  check(out.rows == x.rows && x.cols == x_cols, what, ": x: expected shape (", out.rows, ", ",
        x_cols, "), got (", x.rows, ", ", x.cols, ")");
  check(x.dtype == DType::kFloat32 || out.dtype == x.dtype, what, ": x: expected float32 or ",
        name_of(out.dtype), ", got ", name_of(x.dtype));
}

Grid grid_of(const Tensor& out) {
  return {static_cast<unsigned>(out.rows),
          static_cast<unsigned>(divide_up(out.cols, kActivationThreads * kQuad))};
}

/// Calls body(Out{}, In{}) for the dtypes that check_activation() lets through.
template <class Body>
void with_dtypes(DType out, DType x, Body body) {
  with_element(out, [&](auto to) {
    if (x == DType::kFloat32) return body(to, float{});
    body(to, to);
  });
}

}  // namespace

void bias_activation(Stream stream, Tensor out, Tensor x, const float* bias,
                     Activation activation) {
  check_activation("bias_activation", out, x, out.cols);
  if (out.rows == 0) return;
  const bool aligned = has_quads(out) && has_quads(x);
  with_activation(activation, [&](auto function) {
    with_dtypes(out.dtype, x.dtype, [&](auto to, auto from) {
      using Out = decltype(to);
      using In = decltype(from);
      launch(bias_activation_kernel<decltype(function)::value, Out, In>, grid_of(out),
             kActivationThreads, 0, stream, static_cast<Out*>(out.data), out.stride,
             static_cast<const In*>(x.data), x.stride, bias, static_cast<int>(out.cols), aligned);
    });
  });
}

void gated_activation(Stream stream, Tensor out, Tensor x, const float* bias,
                      Activation activation) {
  check_activation("gated_activation", out, x, 2 * out.cols);
  if (out.rows == 0) return;
  const bool aligned = has_quads(out) && has_quads(x) && out.cols % kQuad == 0;
  with_activation(activation, [&](auto function) {
    with_dtypes(out.dtype, x.dtype, [&](auto to, auto from) {
      using Out = decltype(to);
      using In = decltype(from);
      launch(gated_activation_kernel<decltype(function)::value, Out, In>, grid_of(out),
             kActivationThreads, 0, stream, static_cast<Out*>(out.data), out.stride,
             static_cast<const In*>(x.data), x.stride, bias, static_cast<int>(out.cols), aligned);
    });
  });
}

void add_scaled(Stream stream, Tensor residual, Tensor branch, const float* bias,
                const float* scale) {
  check(residual.dtype == DType::kFloat32, "add_scaled: residual: expected float32, got ",
        name_of(residual.dtype));
  check(branch.rows == residual.rows && branch.cols == residual.cols,
        "add_scaled: branch: expected shape (", residual.rows, ", ", residual.cols, "), got (",
        branch.rows, ", ", branch.cols, ")");
  if (residual.rows == 0) return;
  const bool aligned = has_quads(residual) && has_quads(branch);
  with_element(branch.dtype, [&](auto from) {
    using Branch = decltype(from);
    launch(add_scaled_kernel<Branch>, grid_of(residual), kActivationThreads, 0, stream,
           static_cast<float*>(residual.data), residual.stride,
           static_cast<const Branch*>(branch.data), branch.stride, bias, scale,
           static_cast<int>(residual.cols), aligned);
  });
}

}  // namespace internvl::cuda
