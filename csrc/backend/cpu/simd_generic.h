// Vectors of floats for any CPU, by Eigen's packets: SSE2 on x86-64, NEON on aarch64, else scalars.
// Only kernels_generic.cpp includes this. See simd_avx512.h for what each word means.
#pragma once

#include <Eigen/Core>
#include <cstring>

#include "core/dtype.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

using Vec = Eigen::internal::packet_traits<float>::type;
constexpr int kWidth = Eigen::internal::packet_traits<float>::size;
constexpr int kPanelVectors = 2;
constexpr int kDepthBlock = 512;

inline Vec broadcast(float value) { return Eigen::internal::pset1<Vec>(value); }
inline Vec zero() { return broadcast(0.0f); }
inline Vec add(Vec a, Vec b) { return Eigen::internal::padd(a, b); }
inline Vec sub(Vec a, Vec b) { return Eigen::internal::psub(a, b); }
inline Vec mul(Vec a, Vec b) { return Eigen::internal::pmul(a, b); }
inline Vec div(Vec a, Vec b) { return Eigen::internal::pdiv(a, b); }
inline Vec sqrt(Vec a) { return Eigen::internal::psqrt(a); }
inline Vec fma(Vec a, Vec b, Vec c) { return Eigen::internal::pmadd(a, b, c); }
/// NaN where either is NaN.
inline Vec max(Vec a, Vec b) { return Eigen::internal::pmax<Eigen::PropagateNaN>(a, b); }
inline Vec min(Vec a, Vec b) { return Eigen::internal::pmin<Eigen::PropagateNaN>(a, b); }
/// Ties to even, for |a| < 2^22, by pushing the fraction out of the mantissa.
inline Vec round(Vec a) {
  const Vec magic = broadcast(0x1.8p23f);
  return sub(add(a, magic), magic);
}
inline Vec scale_by_power(Vec a, Vec n) { return Eigen::internal::pldexp(a, n); }

struct Exponent {
  Vec whole;
  Vec fraction;
};
inline Exponent split_exponent(Vec x) {
  x = max(broadcast(-200.0f), x);
  const Vec whole = Eigen::internal::pfloor(x);
  return {whole, sub(x, whole)};
}

inline float reduce_add(Vec a) { return Eigen::internal::predux(a); }
inline float reduce_max(Vec a) { return Eigen::internal::predux_max(a); }

inline Vec load(const float* from) { return Eigen::internal::ploadu<Vec>(from); }
template <class Half>
inline Vec load(const Half* from) {
  float wide[kWidth];
  for (int i = 0; i < kWidth; ++i) wide[i] = to_float(from[i]);
  return load(wide);
}
template <class T>
inline Vec load_partial(const T* from, int count) {
  float wide[kWidth] = {};
  for (int i = 0; i < count; ++i) wide[i] = to_float(from[i]);
  return load(wide);
}

inline void assign(float& to, float value) { to = value; }
inline void assign(BFloat16& to, float value) { to = to_bfloat16(value); }
inline void assign(Float16& to, float value) { to = to_float16(value); }

inline void store(float* to, Vec value) { Eigen::internal::pstoreu(to, value); }
template <class T>
inline void store_partial(T* to, Vec value, int count) {
  float wide[kWidth];
  store(wide, value);
  for (int i = 0; i < count; ++i) assign(to[i], wide[i]);
}
template <class Half>
inline void store(Half* to, Vec value) {
  store_partial(to, value, kWidth);
}

inline Vec keep_first(Vec a, int count) {
  float wide[kWidth];
  store(wide, a);
  return load_partial(wide, count);
}

inline void prefetch(const void* address) {
  Eigen::internal::prefetch(static_cast<const float*>(address));
}
inline void prefetch_l2(const void* address) { prefetch(address); }

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
