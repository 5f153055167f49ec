// What happens to a finished tile of c, whose rows are kPanelColumns apart and in the L1 cache:
// bias, activation, and writing it to, or adding it to, the output.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr int kPanelColumns = kPanelVectors * kWidth;

/// Adds the bias, if any, and applies `function` to the first `activated` vectors of each row.
template <class Function>
inline void apply(float* c, int rows, const float* bias, int activated, Function function) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < kPanelVectors; ++j) {
      float* at = c + i * kPanelColumns + j * kWidth;
      Vec value = load(at);
      if (bias != nullptr) value = add(value, load(bias + j * kWidth));
      store(at, j < activated ? function(value) : value);
    }
  }
}

inline void bias_and_activation(float* c, int rows, const float* bias, int activated,
                                Activation activation) {
  switch (activation) {
    case Activation::kNone:
      if (bias != nullptr) apply(c, rows, bias, activated, [](Vec v) { return v; });
      break;
    case Activation::kGelu:
      apply(c, rows, bias, activated, [](Vec v) {
        const Vec half = mul(v, broadcast(0.5f));
        return fma(half, erf(mul(v, broadcast(0.70710678f))), half);
      });
      break;
    case Activation::kGeluTanh:  // (1 + tanh(u)) / 2 is sigmoid(2 u)
      apply(c, rows, bias, activated, [](Vec v) {
        const Vec inner = fma(mul(mul(v, v), v), broadcast(0.044715f), v);
        return mul(v, sigmoid(mul(inner, broadcast(1.59576912f))));
      });
      break;
    case Activation::kQuickGelu:
      apply(c, rows, bias, activated,
            [](Vec v) { return mul(v, sigmoid(mul(v, broadcast(1.702f)))); });
      break;
    case Activation::kRelu:
      apply(c, rows, bias, activated, [](Vec v) { return max(zero(), v); });
      break;
    case Activation::kSilu:
      apply(c, rows, bias, activated, [](Vec v) { return mul(v, sigmoid(v)); });
      break;
  }
}

/// out = c + bias
template <class Out>
inline void store_rows(const LinearArgs& args, const float* c, std::int64_t row, int rows,
                       std::int64_t panel, const float* bias) {
  const std::int64_t column = panel * kPanelColumns;
  const int count = static_cast<int>(least(kPanelColumns, args.out_features - column));
  Out* out = static_cast<Out*>(args.out) + row * args.out_stride + column;
  for (int i = 0; i < rows; ++i, c += kPanelColumns, out += args.out_stride) {
    for (int j = 0; j < count; j += kWidth) {
      const Vec value = load(c + j);
      store_lanes(out + j, bias ? add(value, load(bias + j)) : value, lanes_from(j, count));
    }
  }
}

/// out = (first half of c) * (second half of c)
template <class Out>
inline void store_gated(const LinearArgs& args, const float* c, std::int64_t row, int rows,
                        std::int64_t panel) {
  constexpr int kColumns = kPanelColumns / 2;
  const std::int64_t column = panel * kColumns;
  const int count = static_cast<int>(least(kColumns, args.out_features - column));
  Out* out = static_cast<Out*>(args.out) + row * args.out_stride + column;
  for (int i = 0; i < rows; ++i, c += kPanelColumns, out += args.out_stride) {
    for (int j = 0; j < count; j += kWidth) {
      store_lanes(out + j, mul(load(c + j), load(c + j + kColumns)), lanes_from(j, count));
    }
  }
}

/// out += scale * (c + bias)
inline void add_rows(const LinearArgs& args, const float* c, std::int64_t row, int rows,
                     std::int64_t panel, const float* bias) {
  const std::int64_t column = panel * kPanelColumns;
  const int count = static_cast<int>(least(kPanelColumns, args.out_features - column));
  float* out = static_cast<float*>(args.out) + row * args.out_stride + column;
  for (int i = 0; i < rows; ++i, c += kPanelColumns, out += args.out_stride) {
    for (int j = 0; j < count; j += kWidth) {
      const int lanes = lanes_from(j, count);
      const Vec scale = args.scale ? load_lanes(args.scale + column + j, lanes) : broadcast(1.0f);
      const Vec value = bias ? add(load(c + j), load(bias + j)) : load(c + j);
      store_lanes(out + j, fma(scale, value, load_lanes(out + j, lanes)), lanes);
    }
  }
}

/// X is the activation dtype.
template <class X>
inline void finish_tile(const LinearArgs& args, float* c, std::int64_t row, int rows,
                        std::int64_t panel) {
  const float* bias = args.bias ? args.bias + panel * kPanelColumns : nullptr;
  const bool gated = args.epilogue == Epilogue::kGated;
  if (gated || args.activation != Activation::kNone) {
    bias_and_activation(c, rows, bias, gated ? kPanelVectors / 2 : kPanelVectors, args.activation);
    bias = nullptr;
  }
  const bool wide = args.out_dtype == DType::kFloat32;
  switch (args.epilogue) {
    case Epilogue::kStore:
      return wide ? store_rows<float>(args, c, row, rows, panel, bias)
                  : store_rows<X>(args, c, row, rows, panel, bias);
    case Epilogue::kGated:
      return wide ? store_gated<float>(args, c, row, rows, panel)
                  : store_gated<X>(args, c, row, rows, panel);
    case Epilogue::kAdd: return add_rows(args, c, row, rows, panel, bias);
  }
}

/// Brings what finish_tile() will write, or add to, into the cache.
inline void prefetch_out(const LinearArgs& args, std::int64_t row, int rows, std::int64_t panel) {
  const int columns = args.epilogue == Epilogue::kGated ? kPanelColumns / 2 : kPanelColumns;
  const std::int64_t size = args.out_dtype == DType::kFloat32 ? 4 : 2;
  const char* out =
      static_cast<const char*>(args.out) + (row * args.out_stride + panel * columns) * size;
  for (int i = 0; i < rows; ++i, out += args.out_stride * size) {
    for (int j = 0; j < columns * size; j += 64) prefetch(out + j);
  }
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
