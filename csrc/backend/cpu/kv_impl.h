// Keys and values of one page, packed for the products of attention.
//
// A block holds the keys and values of one layer and one key-value head in one page: first K^T
// (head_dim x kPageKeys), then V (kPageKeys x head_dim), each as the right side of a product. Such
// a matrix (depth x columns) is cut into panels of kPanel columns, the last one narrower but whole
// vectors; a panel is (depth / kPair, width, kPair), so that 4 bytes hold what one lane of a
// product takes in one step: a float32 or two neighbours of the depth in bfloat16.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr std::int64_t kPanel = kPanelVectors * kWidth;
template <class T>
constexpr std::int64_t kPair = 4 / sizeof(T);

inline std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

inline std::size_t kv_block_bytes(std::int64_t head_dim, DType dtype) {
  const std::size_t size = dtype == DType::kFloat32 ? 4 : 2;
  return kPageKeys * (head_dim + round_up(head_dim, kWidth)) * size;
}

/// The first of the 4-byte words (k / kPair, n) of a packed matrix, as an index of elements.
template <class T>
inline std::int64_t packed_index(std::int64_t k, std::int64_t n, std::int64_t depth,
                                 std::int64_t columns) {
  const std::int64_t panel = n / kPanel * kPanel;
  const std::int64_t width = least(kPanel, columns - panel);
  return panel * depth + (k / kPair<T> * width + n - panel) * kPair<T>;
}

template <class T>
inline void store_key(T* keys, std::int64_t position, const T* key, std::int64_t head_dim) {
  T* to = keys + packed_index<T>(0, position, head_dim, kPageKeys);
  for (std::int64_t d = 0; d < head_dim; d += kPair<T>, to += kPanel * kPair<T>) {
    std::memcpy(to, key + d, 4);
  }
}

/// Stores the value at `position`, and the one at `position` + 1 if `both`. Returns how many.
inline std::int64_t store_values(float* values, std::int64_t position, const float* value,
                                 std::int64_t, bool, std::int64_t head_dim) {
  const std::int64_t columns = round_up(head_dim, kWidth);
  for (std::int64_t d = 0; d < head_dim; d += kPanel) {
    float* to = values + packed_index<float>(position, d, kPageKeys, columns);
    std::memcpy(to, value + d, least(kPanel, head_dim - d) * sizeof(float));
  }
  return 1;
}

/// A value that is alone at an even position clears its odd neighbour: a product that ends with
/// this key reads both, and the page may be memory of any content.
inline std::int64_t store_values(BFloat16* values, std::int64_t position, const BFloat16* value,
                                 std::int64_t stride, bool both, std::int64_t head_dim) {
  const std::int64_t columns = round_up(head_dim, kWidth);
  const bool even = position % 2 == 0;
  for (std::int64_t d = 0; d < head_dim; d += kPanel) {
    BFloat16* to = values + packed_index<BFloat16>(position, d, kPageKeys, columns);
    const BFloat16* from = value + d;
    const std::int64_t count = least(kPanel, head_dim - d);
    if (even && both) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t pair = from[i].bits | std::uint32_t{from[i + stride].bits} << 16;
        std::memcpy(to + 2 * i, &pair, 4);
      }
    } else if (even) {
      for (std::int64_t i = 0; i < count; ++i) {
        to[2 * i] = from[i];
        to[2 * i + 1] = {0};
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[2 * i + 1] = from[i];
    }
  }
  return even && both ? 2 : 1;
}

/// The rows of a head lie far apart, where no hardware prefetcher follows.
template <class T>
inline void prefetch_row(const T* row, std::int64_t head_dim) {
  for (std::int64_t d = 0; d < head_dim; d += 64 / sizeof(T)) prefetch(row + d);
}

template <class T>
void store_kv(const StoreKvArgs& args) {
  constexpr std::int64_t kAhead = 16;
  T* keys = reinterpret_cast<T*>(args.block);
  T* values = keys + kPageKeys * args.head_dim;
  const T* key = static_cast<const T*>(args.keys);
  const T* value = static_cast<const T*>(args.values);
  for (std::int64_t i = 0; i < args.count; ++i) {
    if (i + kAhead < args.count) {
      prefetch_row(key + (i + kAhead) * args.stride, args.head_dim);
      prefetch_row(value + (i + kAhead) * args.stride, args.head_dim);
    }
    store_key(keys, args.position + i, key + i * args.stride, args.head_dim);
  }
  for (std::int64_t i = 0; i < args.count;) {
    i += store_values(values, args.position + i, value + i * args.stride, args.stride,
                      i + 1 < args.count, args.head_dim);
  }
}

/// Half-split rotation: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin) with x1 and x2 the halves of
/// a head, in float32.
template <class T>
void rotate(void* heads, const float* table, std::int64_t count, std::int64_t head_dim) {
  const std::int64_t half = head_dim / 2;
  T* x = static_cast<T*>(heads);
  for (std::int64_t head = 0; head < count; ++head, x += head_dim) {
    for (std::int64_t i = 0; i < half; i += kWidth) {
      const int lanes = lanes_from(i, half);
      const Vec cos = load_lanes(table + i, lanes);
      const Vec sin = load_lanes(table + half + i, lanes);
      const Vec x1 = load_lanes(x + i, lanes);
      const Vec x2 = load_lanes(x + half + i, lanes);
      store_lanes(x + i, sub(mul(x1, cos), mul(x2, sin)), lanes);
      store_lanes(x + half + i, add(mul(x2, cos), mul(x1, sin)), lanes);
    }
  }
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
