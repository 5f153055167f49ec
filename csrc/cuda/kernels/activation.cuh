// Activation functions in float32, and the kernels that apply them to matrices.
#pragma once

#include "backend/activation.h"
#include "cuda/kernels/element.cuh"

namespace internvl::cuda {

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kGelu: return fmaf(0.5f * x, erff(x * 0.70710678f), 0.5f * x);
    case Activation::kGeluTanh:  // (1 + tanh(u)) / 2 is sigmoid(2 u)
      return x * sigmoid(fmaf(x * x * x, 0.044715f, x) * 1.59576912f);
    case Activation::kQuickGelu: return x * sigmoid(x * 1.702f);
    case Activation::kRelu: return x < 0.0f ? 0.0f : x;
    case Activation::kSilu: return x * sigmoid(x);
  }
  return x;
}

/// Calls body(std::integral_constant<Activation, activation>).
template <class Body>
void with_activation(Activation activation, Body body) {
  using A = Activation;
  switch (activation) {
    case A::kNone: return body(std::integral_constant<A, A::kNone>{});
    case A::kGelu: return body(std::integral_constant<A, A::kGelu>{});
    case A::kGeluTanh: return body(std::integral_constant<A, A::kGeluTanh>{});
    case A::kQuickGelu: return body(std::integral_constant<A, A::kQuickGelu>{});
    case A::kRelu: return body(std::integral_constant<A, A::kRelu>{});
    case A::kSilu: return body(std::integral_constant<A, A::kSilu>{});
  }
}

constexpr unsigned kActivationThreads = 256;

/// A quad of x plus the bias, which may be null.
template <class In>
__device__ __forceinline__ void load_biased(float (&values)[kQuad], const In* x, const float* bias,
                                            int column, int cols, bool aligned) {
  load_quad(values, x, column, cols, aligned);
  if (bias == nullptr) return;
  float added[kQuad];
  load_quad(added, bias, column, cols, false);
  for (int i = 0; i < kQuad; ++i) values[i] += added[i];
}

/// Block (columns, row). A thread has one quad.
template <Activation kActivation, class Out, class In>
__global__ void __launch_bounds__(kActivationThreads)
    bias_activation_kernel(Out* out, std::int64_t out_stride, const In* x, std::int64_t x_stride,
                           const float* bias, int cols, bool aligned) {
  const int column = static_cast<int>(blockIdx.y * kActivationThreads + threadIdx.x) * kQuad;
  if (column >= cols) return;
  float values[kQuad];
  load_biased(values, x + blockIdx.x * x_stride, bias, column, cols, aligned);
  for (int i = 0; i < kQuad; ++i) values[i] = activate(kActivation, values[i]);
  store_quad(out + blockIdx.x * out_stride, column, cols, values, aligned);
}

/// x(r) = [gate | up], each `cols` wide.
template <Activation kActivation, class Out, class In>
__global__ void __launch_bounds__(kActivationThreads)
    gated_activation_kernel(Out* out, std::int64_t out_stride, const In* x, std::int64_t x_stride,
                            const float* bias, int cols, bool aligned) {
  const int column = static_cast<int>(blockIdx.y * kActivationThreads + threadIdx.x) * kQuad;
  if (column >= cols) return;
  const In* row = x + blockIdx.x * x_stride;
  float gate[kQuad], up[kQuad];
  load_biased(gate, row, bias, column, cols, aligned);
  load_biased(up, row + cols, bias == nullptr ? nullptr : bias + cols, column, cols, aligned);
  for (int i = 0; i < kQuad; ++i) gate[i] = activate(kActivation, gate[i]) * up[i];
  store_quad(out + blockIdx.x * out_stride, column, cols, gate, aligned);
}

/// residual += scale * (branch + bias).
template <class Branch>
__global__ void __launch_bounds__(kActivationThreads)
    add_scaled_kernel(float* residual, std::int64_t residual_stride, const Branch* branch,
                      std::int64_t branch_stride, const float* bias, const float* scale, int cols,
                      bool aligned) {
  const int column = static_cast<int>(blockIdx.y * kActivationThreads + threadIdx.x) * kQuad;
  if (column >= cols) return;
  float* row = residual + blockIdx.x * residual_stride;
  float sums[kQuad], terms[kQuad], factors[kQuad] = {1.0f, 1.0f, 1.0f, 1.0f};
  load_quad(sums, row, column, cols, aligned);
  load_biased(terms, branch + blockIdx.x * branch_stride, bias, column, cols, aligned);
  if (scale != nullptr) load_quad(factors, scale, column, cols, false);
  for (int i = 0; i < kQuad; ++i) sums[i] = fmaf(factors[i], terms[i], sums[i]);
  store_quad(row, column, cols, sums, aligned);
}

}  // namespace internvl::cuda
