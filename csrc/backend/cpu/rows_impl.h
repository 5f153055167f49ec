// Operations on rows of numbers: conversion between dtypes, and the two norms.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

/// Calls body(T*) with the type of `dtype`'s elements.
template <class Body>
inline void with_element(DType dtype, Body body) {
  switch (dtype) {
    case DType::kFloat32: return body(static_cast<float*>(nullptr));
    case DType::kBFloat16: return body(static_cast<BFloat16*>(nullptr));
    case DType::kFloat16: return body(static_cast<Float16*>(nullptr));
  }
}

template <class Out, class In>
inline void convert_elements(Out* out, const In* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kWidth) {
    const int lanes = lanes_from(i, count);
    store_lanes(out + i, load_lanes(x + i, lanes), lanes);
  }
}

inline void convert(void* out, DType out_dtype, const void* x, DType x_dtype, std::int64_t count) {
  with_element(out_dtype, [&](auto* to) {
    with_element(x_dtype, [&](auto* from) {
      convert_elements(static_cast<decltype(to)>(out),
                       static_cast<decltype(from)>(const_cast<void*>(x)), count);
    });
  });
}

/// Sum of term(element) over x(0 .. count) in an order that depends on `count` alone. `term` gives
/// zero lanes behind the end.
template <class T, class Term>
inline float sum_of(const T* x, std::int64_t count, Term term) {
  constexpr int kSums = 4;
  Vec sums[kSums] = {zero(), zero(), zero(), zero()};
  std::int64_t i = 0;
  for (; i + kSums * kWidth <= count; i += kSums * kWidth) {
    for (int j = 0; j < kSums; ++j) {
      sums[j] = add(sums[j], term(load(x + i + j * kWidth), kWidth));
    }
  }
  for (; i < count; i += kWidth) {
    const int lanes = lanes_from(i, count);
    sums[0] = add(sums[0], term(load_lanes(x + i, lanes), lanes));
  }
  return reduce_add(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

template <class Out, class In>
inline void norm_row(Out* out, const In* x, const NormArgs& args) {
  const float count = static_cast<float>(args.cols);
  float mean = 0.0f;
  if (args.centered) mean = sum_of(x, args.cols, [](Vec v, int) { return v; }) / count;
  const Vec center = broadcast(mean);
  const float squares = sum_of(x, args.cols, [&](Vec v, int lanes) {
    const Vec distance = sub(v, center);
    return lanes == kWidth ? mul(distance, distance) : keep_first(mul(distance, distance), lanes);
  });
  const Vec root = sqrt(broadcast(squares / count + args.eps));
  const Vec factor = div(broadcast(1.0f), root);
  for (std::int64_t i = 0; i < args.cols; i += kWidth) {
    const int lanes = lanes_from(i, args.cols);
    const Vec distance = sub(load_lanes(x + i, lanes), center);
    Vec y = mul(mul(distance, factor), load_lanes(args.weight + i, lanes));
    if (args.bias != nullptr) y = add(y, load_lanes(args.bias + i, lanes));
    store_lanes(out + i, y, lanes);
  }
}

inline void norm(const NormArgs& args, std::int64_t row_begin, std::int64_t row_end) {
  with_element(args.out_dtype, [&](auto* to) {
    with_element(args.x_dtype, [&](auto* from) {
      auto* out = static_cast<decltype(to)>(args.out);
      const auto* x = static_cast<decltype(from)>(const_cast<void*>(args.x));
      for (std::int64_t row = row_begin; row < row_end; ++row) {
        norm_row(out + row * args.out_stride, x + row * args.x_stride, args);
      }
    });
  });
}

constexpr RowKernels row_kernels() { return {convert, norm}; }

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
