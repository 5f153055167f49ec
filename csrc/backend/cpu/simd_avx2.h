// Vectors of floats for AVX2 with FMA and F16C. See simd_avx512.h for what each word means.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "core/element.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

using Vec = __m256;
constexpr int kWidth = 8;
constexpr int kPanelVectors =
    2;  // 6 x 2 accumulators, 2 of the panel and a row: 15 of 16 registers
constexpr int kDepthBlock = 320;  // 16 columns of float32: 20 KB beside 7.5 KB of rows in L1

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec round(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
/// In two steps, since 2^n itself may be out of range.
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  return mul(mul(a, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
}

struct Exponent {
  Vec whole;
  Vec fraction;
};
inline Exponent split_exponent(Vec x) {
  x = max(broadcast(-200.0f), x);
  const Vec whole = _mm256_floor_ps(x);
  return {whole, sub(x, whole)};
}

inline float reduce_add(Vec a) {
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
inline float reduce_max(Vec a) {
  __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

inline Vec widen_bfloat16(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

inline __m128i narrow_bfloat16(Vec value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  const __m256i result = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(result), _mm256_extracti128_si256(result, 1));
}

inline __m128i narrow_float16(Vec value) {
  return _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

inline Vec load(const float* from) { return _mm256_loadu_ps(from); }
inline Vec load(const BFloat16* from) {
  return widen_bfloat16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Vec load(const Float16* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

inline __m256i first(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec load_partial(const float* from, int count) {
  return _mm256_maskload_ps(from, first(count));
}
template <class Half>
inline Vec load_partial(const Half* from, int count) {
  Half padded[kWidth] = {};
  std::memcpy(padded, from, count * sizeof(Half));
  return load(padded);
}

inline Vec keep_first(Vec a, int count) {
  return _mm256_and_ps(a, _mm256_castsi256_ps(first(count)));
}

inline void store(float* to, Vec value) { _mm256_storeu_ps(to, value); }
inline void store(BFloat16* to, Vec value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow_bfloat16(value));
}
inline void store(Float16* to, Vec value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), narrow_float16(value));
}

inline void store_partial(float* to, Vec value, int count) {
  _mm256_maskstore_ps(to, first(count), value);
}
template <class Half>
inline void store_partial(Half* to, Vec value, int count) {
  Half whole[kWidth];
  store(whole, value);
  std::memcpy(to, whole, count * sizeof(Half));
}

inline void prefetch(const void* address) {
  _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0);
}
inline void prefetch_l2(const void* address) {
  _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T1);
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
