// Resampling of 8-bit RGB in fixed point: the same bytes from every instruction set.
#pragma once

#include "backend/cpu/kernels.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr std::int32_t kHalfOfUnit = 1 << (kWeightBits - 1);

inline std::uint8_t byte_of(std::int32_t sum) {
  const std::int32_t value = sum >> kWeightBits;
  return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

inline std::int32_t whole_weight(std::int16_t high, std::int16_t low) {
  return high * (1 << kLowBits) + low;
}

/// Bytes [begin, end) of a row.
inline void filter_columns_by_one(const std::uint8_t* rows, std::int64_t stride,
                                  const ColumnTaps* taps, int count, std::int64_t begin,
                                  std::int64_t end, std::uint8_t* target) {
  constexpr int kChunk = 256;  // sums stay in the first-level cache
  std::int32_t sums[kChunk];
  for (std::int64_t start = begin; start < end; start += kChunk) {
    const int length = static_cast<int>(end - start < kChunk ? end - start : kChunk);
    for (int x = 0; x < length; ++x) sums[x] = kHalfOfUnit;
    for (int k = 0; k < count; ++k) {
      const std::uint8_t* row = rows + k * stride + start;
      const std::int32_t weight = whole_weight(taps[k / 2].high[k % 2], taps[k / 2].low[k % 2]);
      for (int x = 0; x < length; ++x) sums[x] += weight * row[x];
    }
    for (int x = 0; x < length; ++x) target[start + x] = byte_of(sums[x]);
  }
}

#ifdef __AVX2__

/// sum + the products of neighbouring 16-bit numbers, added in pairs.
inline __m256i multiply_add(__m256i sum, __m256i a, __m256i b) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

inline __m256i whole_sum(__m256i high, __m256i low) {
  return _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low);
}

inline __m256i load_in_both_lanes(const void* data) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(data)));
}

#ifdef __AVX512VNNI__

/// Three signed digits of 8 bits: the weights' first, second and third digits.
inline TapGroup cut_group(const std::int32_t* weights) {
  constexpr std::uint32_t kOffset = 0x808080;  // digits + 128 are the bytes of the weight + kOffset
  TapGroup group{};
  for (int k = 0; k < kTapGroup; ++k) {
    const std::uint32_t digits = (static_cast<std::uint32_t>(weights[k]) + kOffset) ^ kOffset;
    for (int digit = 0; digit < 3; ++digit) {
      group.digits[digit * kTapGroup + k] = static_cast<std::int8_t>(digits >> (16 - 8 * digit));
    }
  }
  return group;
}

/// One digit of four weights in every lane.
inline __m512i digits_of(const TapGroup& group, int digit) {
  std::int32_t four;
  __builtin_memcpy(&four, group.digits + digit * kTapGroup, sizeof four);
  return _mm512_set1_epi32(four);
}

inline __m128i load_pixels(const std::uint8_t* pixels) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels));
}

inline void filter_rows(const std::uint8_t* const* source, std::uint8_t* const* target,
                        const RowTaps& taps) {
  // A row's four pixels in a lane of 128 bits: four R, four G, four B, none.
  const __m512i spread =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
  const TapGroup* group = taps.taps;
  for (int x = 0; x < taps.outputs; ++x) {
    __m512i sums[3] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_set1_epi32(kHalfOfUnit)};
    std::int64_t at = std::int64_t{taps.first[x]} * 3;
    for (int g = 0; g < taps.groups; ++g, at += 3 * kTapGroup, ++group) {
      __m512i pixels = _mm512_castsi128_si512(load_pixels(source[0] + at));
      pixels = _mm512_mask_broadcast_i32x4(pixels, 0x00f0, load_pixels(source[1] + at));
      pixels = _mm512_mask_broadcast_i32x4(pixels, 0x0f00, load_pixels(source[2] + at));
      pixels = _mm512_mask_broadcast_i32x4(pixels, 0xf000, load_pixels(source[3] + at));
      pixels = _mm512_shuffle_epi8(pixels, spread);
#pragma GCC unroll 8
      for (int digit = 0; digit < 3; ++digit) {
        sums[digit] = _mm512_dpbusd_epi32(sums[digit], pixels, digits_of(*group, digit));
      }
    }
    const __m512i upper = _mm512_add_epi32(_mm512_slli_epi32(sums[0], 8), sums[1]);
    const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(upper, 8), sums[2]);
    const __m512i values = _mm512_srai_epi32(sum, kWeightBits);
    const __m128i bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(values, _mm512_setzero_si512()));
    const int pixels[kFilterRows] = {_mm_extract_epi32(bytes, 0), _mm_extract_epi32(bytes, 1),
                                     _mm_extract_epi32(bytes, 2), _mm_extract_epi32(bytes, 3)};
#pragma GCC unroll 8
    for (int r = 0; r < kFilterRows; ++r) {
      __builtin_memcpy(target[r] + std::int64_t{x} * 3, &pixels[r], 4);
    }
  }
}

#else

/// In the lanes of the result: the sum of a's lanes, and of b's, as integers.
inline __m256i rounded_lanes(__m256i a, __m256i b) {
  const __m256i lower = _mm256_permute2x128_si256(a, b, 0x20);
  const __m256i upper = _mm256_permute2x128_si256(a, b, 0x31);
  const __m256i sum = _mm256_add_epi32(lower, upper);
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kHalfOfUnit)), kWeightBits);
}

inline TapGroup cut_group(const std::int32_t* weights) {
  std::int16_t halves[2][kTapGroup];
  for (int k = 0; k < kTapGroup; ++k) {
    halves[0][k] = static_cast<std::int16_t>(weights[k] >> kLowBits);
    halves[1][k] = static_cast<std::int16_t>(weights[k] & ((1 << kLowBits) - 1));
  }
  TapGroup group;
  __builtin_memcpy(&group, halves, sizeof group);
  return group;
}

inline void filter_rows(const std::uint8_t* const* source, std::uint8_t* const* target,
                        const RowTaps& taps) {
  // Bytes of pixels 0 and 1 to the lower lane, of 2 and 3 to the upper one: R R, G G, B B, none.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i take_high = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i take_low = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const TapGroup* group = taps.taps;
  for (int x = 0; x < taps.outputs; ++x) {
    __m256i high[kFilterRows], low[kFilterRows];
#pragma GCC unroll 8
    for (int r = 0; r < kFilterRows; ++r) high[r] = low[r] = _mm256_setzero_si256();
    std::int64_t at = std::int64_t{taps.first[x]} * 3;
    for (int g = 0; g < taps.groups; ++g, at += 3 * kTapGroup, ++group) {
      const __m256i halves = load_in_both_lanes(group);
      const __m256i high_taps = _mm256_permutevar8x32_epi32(halves, take_high);
      const __m256i low_taps = _mm256_permutevar8x32_epi32(halves, take_low);
#pragma GCC unroll 8
      for (int r = 0; r < kFilterRows; ++r) {
        const __m256i pixels = _mm256_shuffle_epi8(load_in_both_lanes(source[r] + at), spread);
        high[r] = multiply_add(high[r], pixels, high_taps);
        low[r] = multiply_add(low[r], pixels, low_taps);
      }
    }
    const __m256i words =
        _mm256_packs_epi32(rounded_lanes(whole_sum(high[0], low[0]), whole_sum(high[1], low[1])),
                           rounded_lanes(whole_sum(high[2], low[2]), whole_sum(high[3], low[3])));
    const __m256i bytes = _mm256_packus_epi16(words, words);  // rows 0 and 2 | 1 and 3
    const int pixels[kFilterRows] = {_mm256_extract_epi32(bytes, 0), _mm256_extract_epi32(bytes, 4),
                                     _mm256_extract_epi32(bytes, 1),
                                     _mm256_extract_epi32(bytes, 5)};
#pragma GCC unroll 8
    for (int r = 0; r < kFilterRows; ++r) {
      __builtin_memcpy(target[r] + std::int64_t{x} * 3, &pixels[r], 4);
    }
  }
}

#endif

// The bytes of a register, which unpack and pack within lanes of 128 bits.
#ifdef __AVX512BW__

using Bytes = __m512i;

inline Bytes zeros() { return _mm512_setzero_si512(); }
inline Bytes repeat(std::int32_t value) { return _mm512_set1_epi32(value); }
inline Bytes load_bytes(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
inline void store_bytes(std::uint8_t* to, Bytes bytes) { _mm512_storeu_si512(to, bytes); }
inline Bytes unpack_lower(Bytes a, Bytes b) { return _mm512_unpacklo_epi8(a, b); }
inline Bytes unpack_upper(Bytes a, Bytes b) { return _mm512_unpackhi_epi8(a, b); }

inline Bytes multiply_add(Bytes sum, Bytes a, Bytes b) {
#ifdef __AVX512VNNI__
  return _mm512_dpwssd_epi32(sum, a, b);
#else
  return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
#endif
}

inline Bytes rounded_sum(Bytes high, Bytes low) {
  const Bytes sum = _mm512_add_epi32(_mm512_slli_epi32(high, kLowBits), low);
  return _mm512_srai_epi32(sum, kWeightBits);
}

inline Bytes pack(Bytes a, Bytes b, Bytes c, Bytes d) {
  return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}

#else

using Bytes = __m256i;

inline Bytes zeros() { return _mm256_setzero_si256(); }
inline Bytes repeat(std::int32_t value) { return _mm256_set1_epi32(value); }
inline Bytes load_bytes(const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const Bytes*>(from));
}
inline void store_bytes(std::uint8_t* to, Bytes bytes) {
  _mm256_storeu_si256(reinterpret_cast<Bytes*>(to), bytes);
}
inline Bytes unpack_lower(Bytes a, Bytes b) { return _mm256_unpacklo_epi8(a, b); }
inline Bytes unpack_upper(Bytes a, Bytes b) { return _mm256_unpackhi_epi8(a, b); }

inline Bytes rounded_sum(Bytes high, Bytes low) {
  return _mm256_srai_epi32(whole_sum(high, low), kWeightBits);
}

inline Bytes pack(Bytes a, Bytes b, Bytes c, Bytes d) {
  return _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
}

#endif

inline Bytes repeat_pair(const std::int16_t (&halves)[2]) {
  std::int32_t pair;
  __builtin_memcpy(&pair, halves, sizeof pair);
  return repeat(pair);
}

inline void filter_columns(const std::uint8_t* rows, std::int64_t stride, const ColumnTaps* taps,
                           int count, std::int64_t bytes, std::uint8_t* target) {
  constexpr std::int64_t kChunkBytes = sizeof(Bytes);
  const Bytes zero = zeros();
  const std::int64_t whole = bytes / kChunkBytes * kChunkBytes;
  for (std::int64_t at = 0; at < whole; at += kChunkBytes) {
    Bytes high[4], low[4];
#pragma GCC unroll 8
    for (int i = 0; i < 4; ++i) {
      high[i] = zero;
      low[i] = repeat(kHalfOfUnit);
    }
    const std::uint8_t* row = rows + at;
    const ColumnTaps* pair = taps;
    for (int k = 0; k < count; k += 2, row += 2 * stride, ++pair) {
      const Bytes a = load_bytes(row);
      const Bytes b = load_bytes(k + 1 < count ? row + stride : row);
      const Bytes lower = unpack_lower(a, b), upper = unpack_upper(a, b);
      const Bytes pairs[4] = {unpack_lower(lower, zero), unpack_upper(lower, zero),
                              unpack_lower(upper, zero), unpack_upper(upper, zero)};
      const Bytes high_taps = repeat_pair(pair->high), low_taps = repeat_pair(pair->low);
#pragma GCC unroll 8
      for (int i = 0; i < 4; ++i) {
        high[i] = multiply_add(high[i], pairs[i], high_taps);
        low[i] = multiply_add(low[i], pairs[i], low_taps);
      }
    }
    Bytes sums[4];
#pragma GCC unroll 8
    for (int i = 0; i < 4; ++i) sums[i] = rounded_sum(high[i], low[i]);
    // Packing clamps, and undoes the order of unpacking.
    store_bytes(target + at, pack(sums[0], sums[1], sums[2], sums[3]));
  }
  filter_columns_by_one(rows, stride, taps, count, whole, bytes, target);
}

#else

inline TapGroup cut_group(const std::int32_t* weights) {
  TapGroup group;
  __builtin_memcpy(&group, weights, sizeof group);
  return group;
}

inline void filter_rows(const std::uint8_t* const* source, std::uint8_t* const* target,
                        const RowTaps& taps) {
  for (int r = 0; r < kFilterRows; ++r) {
    const TapGroup* group = taps.taps;
    for (int x = 0; x < taps.outputs; ++x) {
      const std::uint8_t* pixel = source[r] + std::int64_t{taps.first[x]} * 3;
      std::int32_t sums[3] = {kHalfOfUnit, kHalfOfUnit, kHalfOfUnit};
      for (int g = 0; g < taps.groups; ++g, ++group) {
        std::int32_t weights[kTapGroup];
        __builtin_memcpy(weights, group, sizeof weights);
        for (int k = 0; k < kTapGroup; ++k, pixel += 3) {
          for (int c = 0; c < 3; ++c) sums[c] += weights[k] * pixel[c];
        }
      }
      for (int c = 0; c < 3; ++c) target[r][std::int64_t{x} * 3 + c] = byte_of(sums[c]);
    }
  }
}

inline void filter_columns(const std::uint8_t* rows, std::int64_t stride, const ColumnTaps* taps,
                           int count, std::int64_t bytes, std::uint8_t* target) {
  filter_columns_by_one(rows, stride, taps, count, 0, bytes, target);
}

#endif

inline void cut(const std::int32_t* weights, TapGroup* groups, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) groups[i] = cut_group(weights + i * kTapGroup);
}

constexpr ResampleKernels resample_kernels() { return {cut, filter_rows, filter_columns}; }

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
