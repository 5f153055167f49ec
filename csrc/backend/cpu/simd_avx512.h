// Vectors of floats for AVX-512 (F, BW, DQ, VL), and with BF16 its products of bfloat16 pairs.
// The vocabulary is the same in every simd_*.h. INTERNVL_ISA names the namespace, so that two
// files compiled with different flags never share a function.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "core/element.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

using Vec = __m512;
constexpr int kWidth = 16;
constexpr int kPanelVectors = 4;  // 6 x 4 accumulators, 4 of the panel: 28 of 32 registers
constexpr int kDepthBlock = 512;  // 64 columns of float32: 128 KB, an eighth of the L2 cache

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
/// a * b + c
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
/// b where either is NaN.
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
/// b where either is NaN.
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
/// To the nearest integer, ties to even.
inline Vec round(Vec a) { return _mm512_roundscale_ps(a, 8); }
/// a * 2^n for an integral n in [-252, 252], and zero or infinity beyond the range of float.
inline Vec scale_by_power(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }

/// What scale_by_power() takes for floor(x), and x - floor(x), for x < 127; all below about -150
/// may be one number. NaN stays NaN.
struct Exponent {
  Vec whole;
  Vec fraction;
};
/// vscalefps floors for itself, and the fraction of an infinity is zero.
inline Exponent split_exponent(Vec x) { return {x, _mm512_reduce_ps(x, 9)}; }

/// ((lane 0 + 8) + (4 + 12)) + ...: halves are added until one lane is left.
inline float reduce_add(Vec a) {
  __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float reduce_max(Vec a) { return _mm512_reduce_max_ps(a); }

inline Vec widen_bfloat16(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// To nearest even; NaN stays NaN.
inline __m256i narrow_bfloat16(Vec value) {
#ifdef __AVX512BF16__
  return (__m256i)_mm512_cvtneps_pbh(value);
#else
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i upper = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40)));
#endif
}

inline __m256i narrow_float16(Vec value) {
  return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// ---- memory; pointers need no alignment

inline __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1); }

inline Vec load(const float* from) { return _mm512_loadu_ps(from); }
inline Vec load(const BFloat16* from) {
  return widen_bfloat16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Vec load(const Float16* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

/// The first `count` elements, 0 <= count <= kWidth; the others are zero and are not touched.
inline Vec load_partial(const float* from, int count) {
  return _mm512_maskz_loadu_ps(first(count), from);
}
inline Vec load_partial(const BFloat16* from, int count) {
  return widen_bfloat16(_mm256_maskz_loadu_epi16(first(count), from));
}
inline Vec load_partial(const Float16* from, int count) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), from));
}

/// The first `count` lanes, 0 <= count <= kWidth, and zeros.
inline Vec keep_first(Vec a, int count) { return _mm512_maskz_mov_ps(first(count), a); }

inline void store(float* to, Vec value) { _mm512_storeu_ps(to, value); }
inline void store(BFloat16* to, Vec value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), narrow_bfloat16(value));
}
inline void store(Float16* to, Vec value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), narrow_float16(value));
}

inline void store_partial(float* to, Vec value, int count) {
  _mm512_mask_storeu_ps(to, first(count), value);
}
inline void store_partial(BFloat16* to, Vec value, int count) {
  _mm256_mask_storeu_epi16(to, first(count), narrow_bfloat16(value));
}
inline void store_partial(Float16* to, Vec value, int count) {
  _mm256_mask_storeu_epi16(to, first(count), narrow_float16(value));
}

inline void prefetch(const void* address) {
  _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0);
}
inline void prefetch_l2(const void* address) {
  _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T1);
}

#ifdef __AVX512BF16__
// ---- pairs of bfloat16: one product adds two neighbours of the depth to each lane
#define INTERNVL_HAS_PAIRS 1

using Pairs = __m512bh;
inline Pairs load_pairs(const BFloat16* from) { return (Pairs)_mm512_loadu_si512(from); }
/// from[0] and from[1] in every lane
inline Pairs broadcast_pair(const BFloat16* from) {
  std::int32_t bits;
  std::memcpy(&bits, from, 4);
  return (Pairs)_mm512_set1_epi32(bits);
}
/// from[0] and zero in every lane
inline Pairs broadcast_single(const BFloat16* from) { return (Pairs)_mm512_set1_epi32(from->bits); }
/// Two vectors, one behind the other.
inline void store_pair(BFloat16* to, Vec first, Vec second) {
  _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}
/// c + a[0] * b[0] + a[1] * b[1]
inline Vec fma_pairs(Pairs a, Pairs b, Vec c) { return _mm512_dpbf16_ps(c, a, b); }
#endif

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
