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
#ifdef __AVX512VNNI__
  return _mm256_dpwssd_epi32(sum, a, b);
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

inline __m256i whole_sum(__m256i high, __m256i low) {
  return _mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low);
}

inline __m256i load_in_both_lanes(const void* data) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(data)));
}

/// In the lanes of the result: the sum of a's lanes, and of b's, as integers.
inline __m256i rounded_lanes(__m256i a, __m256i b) {
  const __m256i lower = _mm256_permute2x128_si256(a, b, 0x20);
  const __m256i upper = _mm256_permute2x128_si256(a, b, 0x31);
  const __m256i sum = _mm256_add_epi32(lower, upper);
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kHalfOfUnit)), kWeightBits);
}

inline void filter_rows(const std::uint8_t* const* source, std::uint8_t* const* target,
                        const RowTaps& taps) {
  // Bytes of pixels 0 and 1 to the lower lane, of 2 and 3 to the upper one: R R, G G, B B, none.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                       -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i take_high = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i take_low = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const std::int16_t* group = taps.taps;
  for (int x = 0; x < taps.outputs; ++x) {
    __m256i high[kFilterRows], low[kFilterRows];
    for (int r = 0; r < kFilterRows; ++r) high[r] = low[r] = _mm256_setzero_si256();
    std::int64_t at = std::int64_t{taps.first[x]} * 3;
    for (int g = 0; g < taps.groups; ++g, at += 3 * kTapGroup, group += 2 * kTapGroup) {
      const __m256i halves = load_in_both_lanes(group);
      const __m256i high_taps = _mm256_permutevar8x32_epi32(halves, take_high);
      const __m256i low_taps = _mm256_permutevar8x32_epi32(halves, take_low);
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
    for (int r = 0; r < kFilterRows; ++r) {
      __builtin_memcpy(target[r] + std::int64_t{x} * 3, &pixels[r], 4);
    }
  }
}

constexpr std::int64_t kChunkBytes = 32;

inline __m256i both(const std::int16_t (&halves)[2]) {
  std::int32_t pair;
  __builtin_memcpy(&pair, halves, sizeof pair);
  return _mm256_set1_epi32(pair);
}

inline void filter_chunk(const std::uint8_t* rows, std::int64_t stride, const ColumnTaps* taps,
                         int count, std::uint8_t* target) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i high[4], low[4];
  for (int i = 0; i < 4; ++i) {
    high[i] = zero;
    low[i] = _mm256_set1_epi32(kHalfOfUnit);
  }
  for (int k = 0; k < count; k += 2, ++taps) {
    const std::uint8_t* row = rows + k * stride;
    const std::uint8_t* next = k + 1 < count ? row + stride : row;
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next));
    const __m256i lower = _mm256_unpacklo_epi8(a, b), upper = _mm256_unpackhi_epi8(a, b);
    const __m256i pairs[4] = {_mm256_unpacklo_epi8(lower, zero), _mm256_unpackhi_epi8(lower, zero),
                              _mm256_unpacklo_epi8(upper, zero), _mm256_unpackhi_epi8(upper, zero)};
    const __m256i high_taps = both(taps->high), low_taps = both(taps->low);
    for (int i = 0; i < 4; ++i) {
      high[i] = multiply_add(high[i], pairs[i], high_taps);
      low[i] = multiply_add(low[i], pairs[i], low_taps);
    }
  }
  __m256i sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = _mm256_srai_epi32(whole_sum(high[i], low[i]), kWeightBits);
  // Packing clamps, and undoes the order of unpacking.
  const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]),
                                            _mm256_packs_epi32(sums[2], sums[3]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), bytes);
}

inline void filter_columns(const std::uint8_t* rows, std::int64_t stride, const ColumnTaps* taps,
                           int count, std::int64_t bytes, std::uint8_t* target) {
  const std::int64_t whole = bytes / kChunkBytes * kChunkBytes;
  for (std::int64_t at = 0; at < whole; at += kChunkBytes) {
    filter_chunk(rows + at, stride, taps, count, target + at);
  }
  filter_columns_by_one(rows, stride, taps, count, whole, bytes, target);
}

#else

inline void filter_rows(const std::uint8_t* const* source, std::uint8_t* const* target,
                        const RowTaps& taps) {
  for (int r = 0; r < kFilterRows; ++r) {
    const std::int16_t* group = taps.taps;
    for (int x = 0; x < taps.outputs; ++x) {
      const std::uint8_t* pixel = source[r] + std::int64_t{taps.first[x]} * 3;
      std::int32_t sums[3] = {kHalfOfUnit, kHalfOfUnit, kHalfOfUnit};
      for (int g = 0; g < taps.groups; ++g, group += 2 * kTapGroup) {
        for (int k = 0; k < kTapGroup; ++k, pixel += 3) {
          const std::int32_t weight = whole_weight(group[k], group[kTapGroup + k]);
          for (int c = 0; c < 3; ++c) sums[c] += weight * pixel[c];
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

constexpr ResampleKernels resample_kernels() { return {filter_rows, filter_columns}; }

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
