// Attention of a block of query rows over the packed keys and values of pages (see kv_impl.h), one
// block of keys after the other: scores, weights relative to the highest score of the block, and
// the weighted sum of values, which joins those of the blocks before.
//
// A row's result depends on its own query, keys and values alone, bit for bit: every product adds
// in the order of its depth, blocks of keys begin where the caller says and are joined in ascending
// order, whoever computed them, and keys that a row does not see have weight zero, which changes no
// sum as long as their values are finite.
#pragma once

#include "backend/cpu/kv_impl.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr int kTileRows = 6;
constexpr float kLowest = -3.40282347e38f;  // -FLT_MAX
constexpr float kInfinity = __builtin_inff();

/// Room for the scores of a row in one block.
constexpr std::int64_t kBlockKeys = kMostBlockPages * kPageKeys;

// One step of a product: a lane of `b` takes one float32 of depth or a pair of bfloat16.
inline Vec broadcast_step(const float* a) { return broadcast(*a); }
inline Vec load_step(const float* b) { return load(b); }
inline Vec add_step(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
#ifdef INTERNVL_HAS_PAIRS
inline Pairs broadcast_step(const BFloat16* a) { return broadcast_pair(a); }
inline Pairs load_step(const BFloat16* b) { return load_pairs(b); }
inline Vec add_step(Pairs a, Pairs b, Vec sum) { return fma_pairs(a, b, sum); }
#endif

/// c = a b, kRows x (kVectors * kWidth) of it. The depth of b lies in parts of `part_steps` steps,
/// each `offset` elements behind a pointer of `parts`.
template <class T, int kRows, int kVectors>
void product_tile(const T* a, std::int64_t a_stride, const T* const* parts, std::int64_t offset,
                  std::int64_t b_stride, std::int64_t part_steps, std::int64_t steps, float* c,
                  std::int64_t c_stride) {
  Vec sums[kRows][kVectors];
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) sums[i][j] = zero();
  }
  for (; steps > 0; steps -= part_steps, ++parts) {
    const T* b = *parts + offset;
    for (std::int64_t step = least(steps, part_steps); step > 0; --step) {
      decltype(load_step(b)) right[kVectors];
      INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) {
        right[j] = load_step(b + j * kWidth * kPair<T>);
      }
      INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
        const auto left = broadcast_step(a + i * a_stride);
        INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) {
          sums[i][j] = add_step(left, right[j], sums[i][j]);
        }
      }
      a += kPair<T>;
      b += b_stride;
    }
  }
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) {
      store(c + i * c_stride + j * kWidth, sums[i][j]);
    }
  }
}

template <class T, int kRows, int kVectors, class... Args>
void product_tile_of(int rows, int vectors, Args... args) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return product_tile_of<T, kRows - 1, kVectors>(rows, vectors, args...);
  }
  if constexpr (kVectors > 1) {
    if (vectors < kVectors) return product_tile_of<T, kRows, kVectors - 1>(rows, vectors, args...);
  }
  product_tile<T, kRows, kVectors>(args...);
}

/// Matrices in panels, one behind the other along the depth.
template <class T>
struct Packed {
  const T* const* parts;
  std::int64_t depth;  ///< of each
  std::int64_t columns;
};

/// The leading `columns` columns, rounded up to whole vectors, of the product over the leading
/// `depth` of b, for up to kTileRows rows.
template <class T>
void product(float* c, std::int64_t c_stride, const T* a, std::int64_t a_stride, int rows,
             const Packed<T>& b, std::int64_t depth, std::int64_t columns) {
  const std::int64_t part_steps = (b.depth + kPair<T> - 1) / kPair<T>;
  const std::int64_t steps = (depth + kPair<T> - 1) / kPair<T>;
  for (std::int64_t n = 0; n < columns; n += kPanel) {
    const std::int64_t width = least(kPanel, b.columns - n);
    const int vectors = static_cast<int>((least(kPanel, columns - n) + kWidth - 1) / kWidth);
    product_tile_of<T, kTileRows, kPanelVectors>(rows, vectors, a, a_stride, b.parts, n * b.depth,
                                                 width * kPair<T>, part_steps, steps, c + n,
                                                 c_stride);
  }
}

/// The highest of `count` scores, at least one.
inline float highest(const float* scores, std::int64_t count) {
  if (count < kWidth) {
    float result = scores[0];
    for (std::int64_t n = 1; n < count; ++n) result = scores[n] > result ? scores[n] : result;
    return result;
  }
  // The last vector overlaps the one before it; four maxima at once, since each waits for the last.
  Vec last = load(scores + count - kWidth);
  Vec result[4] = {last, last, last, last};
  std::int64_t n = 0;
  for (; n + 4 * kWidth <= count; n += 4 * kWidth) {
    INTERNVL_UNROLL for (int i = 0; i < 4; ++i) {
      result[i] = max(result[i], load(scores + n + i * kWidth));
    }
  }
  for (; n + kWidth <= count; n += kWidth) result[0] = max(result[0], load(scores + n));
  return reduce_max(max(max(result[0], result[1]), max(result[2], result[3])));
}

inline Vec softmax_weight(Vec x, const float*) { return exp2(x, kExp2); }
inline Vec softmax_weight(Vec x, const BFloat16*) { return exp2(x, kCoarseExp2); }

/// Two vectors, one behind the other.
inline void store_both(float* to, Vec first, Vec second) {
  store(to, first);
  store(to + kWidth, second);
}
#ifdef INTERNVL_HAS_PAIRS
inline void store_both(BFloat16* to, Vec first, Vec second) { store_pair(to, first, second); }
#endif

/// Weights 2^(scale * score - maximum) of the `visible` first keys, zeros for the others of
/// `columns`, and their sums: the weight of key k goes to lane k % kWidth.
template <class T>
void weigh(T* weights, float* sums, float maximum, const float* scores, std::int64_t visible,
           std::int64_t columns, float scale) {
  const Vec factor = broadcast(scale);
  const Vec shift = broadcast(-maximum);
  const auto weight_of = [&](std::int64_t n) {
    return softmax_weight(fma(load(scores + n), factor, shift), weights);
  };
  Vec sum = zero();
  std::int64_t n = 0;
  INTERNVL_UNROLL for (; n + 2 * kWidth <= visible; n += 2 * kWidth) {
    const Vec weight = weight_of(n);
    const Vec next = weight_of(n + kWidth);
    sum = add(add(sum, weight), next);
    store_both(weights + n, weight, next);
  }
  for (; n < visible; n += kWidth) {
    const Vec seen = keep_first(weight_of(n), lanes_from(n, visible));
    sum = add(sum, seen);
    store(weights + n, seen);
  }
  for (; n < columns; n += kWidth) store(weights + n, zero());
  store(sums, sum);
}

/// What some keys give to query rows, not divided by the sum of their weights yet.
struct Softmax {
  Softmax(std::byte* memory, std::int64_t rows, std::int64_t head_dim)
      : columns(round_up(head_dim, kWidth)),
        sums(reinterpret_cast<float*>(memory)),
        weight_sums(sums + rows * columns),
        maxima(weight_sums + rows * kWidth) {}

  Softmax from(std::int64_t row) const {
    Softmax rows = *this;
    rows.sums += row * columns;
    rows.weight_sums += row * kWidth;
    rows.maxima += row;
    return rows;
  }

  std::int64_t columns;  // head_dim in whole vectors
  float* sums;           // (rows, columns): of the weighted values
  float* weight_sums;    // (rows, kWidth)
  float* maxima;         // (rows): of the scaled scores; weights are relative to them
};

inline std::size_t softmax_bytes(std::int64_t rows, std::int64_t head_dim) {
  return round_up(rows * (round_up(head_dim, kWidth) + kWidth + 1) * sizeof(float), 64);
}

inline void clear(const Softmax& softmax, std::int64_t rows) {
  for (std::int64_t i = 0; i < rows; ++i) softmax.maxima[i] = kLowest;
  for (std::int64_t i = 0; i < rows * kWidth; i += kWidth) store(softmax.weight_sums + i, zero());
  for (std::int64_t i = 0; i < rows * softmax.columns; i += kWidth) store(softmax.sums + i, zero());
}

/// Takes in what later keys give.
inline void join(const Softmax& softmax, const Softmax& later, std::int64_t rows) {
  for (std::int64_t first = 0; first < rows; first += kWidth) {
    const int count = lanes_from(first, rows);
    const Vec before = load_lanes(softmax.maxima + first, count);
    const Vec other = load_lanes(later.maxima + first, count);
    const Vec after = max(other, before);
    store_lanes(softmax.maxima + first, after, count);
    float factors[2][kWidth];
    store(factors[0], exp2(sub(before, after), kExp2));
    store(factors[1], exp2(sub(other, after), kExp2));
    for (int i = 0; i < count; ++i) {
      const Vec old = broadcast(factors[0][i]);
      const Vec added = broadcast(factors[1][i]);
      const auto take = [&](float* to, const float* from) {
        store(to, fma(load(to), old, mul(load(from), added)));
      };
      const std::int64_t row = first + i;
      take(softmax.weight_sums + row * kWidth, later.weight_sums + row * kWidth);
      for (std::int64_t d = row * softmax.columns; d < (row + 1) * softmax.columns; d += kWidth) {
        take(softmax.sums + d, later.sums + d);
      }
    }
  }
}

/// Keys that a row sees; row = token * group + head.
inline std::int64_t visible_to(const AttentionArgs& args, std::int64_t row) {
  return args.visible + (args.causal ? row / args.group : 0);
}

/// Memory of one task beside the softmax of its rows.
template <class T>
struct AttentionScratch {
  AttentionScratch(std::byte* memory, std::int64_t head_dim)
      : tile(memory, kTileRows, head_dim),
        queries(reinterpret_cast<T*>(memory + softmax_bytes(kTileRows, head_dim))) {}

  Softmax tile;  // what one block of keys gives to a tile of rows
  T* queries;    // (rows, head_dim)
};

inline std::size_t attention_scratch_bytes(std::int64_t rows, std::int64_t head_dim) {
  return softmax_bytes(kTileRows, head_dim) + round_up(rows * head_dim * sizeof(float), 64);
}

template <class T>
void gather_queries(const AttentionArgs& args, T* queries) {
  for (std::int64_t row = 0; row < args.tokens * args.group; ++row) {
    const T* q = static_cast<const T*>(args.q) + row / args.group * args.q_stride +
                 row % args.group * args.head_dim;
    std::memcpy(queries + row * args.head_dim, q, args.head_dim * sizeof(T));
  }
}

/// Joins what the block of keys from `first` on gives to `softmax`.
template <class T>
void attend_block(const AttentionArgs& args, std::int64_t first, const AttentionScratch<T>& scratch,
                  const Softmax& softmax) {
  const std::int64_t head_dim = args.head_dim;
  const std::int64_t rows = args.tokens * args.group;
  const float scale = args.scale * 1.44269504f;  // e^x = 2^(x / ln 2)
  alignas(64) float scores[kTileRows * kBlockKeys];
  alignas(64) T weights[kTileRows * kBlockKeys];
  const Softmax& tile = scratch.tile;
  const std::int64_t keys = least(args.block_pages * kPageKeys, visible_to(args, rows - 1) - first);
  const T* page_keys[kMostBlockPages];
  const T* page_values[kMostBlockPages];
  for (std::int64_t page = 0; page * kPageKeys < keys; ++page) {
    page_keys[page] =
        reinterpret_cast<const T*>(args.pages[first / kPageKeys + page] + args.offset);
    page_values[page] = page_keys[page] + kPageKeys * head_dim;
  }
  for (std::int64_t row = 0; row < rows; row += kTileRows) {
    const int count = static_cast<int>(least(kTileRows, rows - row));
    const std::int64_t seen = least(keys, visible_to(args, row + count - 1) - first);
    if (seen <= 0) continue;
    for (std::int64_t n = 0; n < seen; n += kPageKeys) {
      const Packed<T> page{page_keys + n / kPageKeys, head_dim, kPageKeys};
      product(scores + n, kBlockKeys, scratch.queries + row * head_dim, head_dim, count, page,
              head_dim, least(kPageKeys, seen - n));
    }
    // One loop for all maxima and one for all weights: rows wait for their maxima together.
    const auto seen_by = [&](int i) { return least(seen, visible_to(args, row + i) - first); };
    for (int i = 0; i < count; ++i) {
      tile.maxima[i] =
          seen_by(i) > 0 ? scale * highest(scores + i * kBlockKeys, seen_by(i)) : kLowest;
    }
    for (int i = 0; i < count; ++i) {
      weigh(weights + i * kBlockKeys, tile.weight_sums + i * kWidth, tile.maxima[i],
            scores + i * kBlockKeys, seen_by(i), seen, scale);
    }
    product(tile.sums, tile.columns, weights, kBlockKeys, count,
            Packed<T>{page_values, kPageKeys, tile.columns}, seen, tile.columns);
    join(softmax.from(row), tile, count);
  }
}

/// Writes the rows that have seen all their keys.
template <class T>
void finish_rows(const AttentionArgs& args, const Softmax& softmax) {
  for (std::int64_t row = 0; row < args.tokens * args.group; ++row) {
    T* out = static_cast<T*>(args.out) + row / args.group * args.out_stride +
             row % args.group * args.head_dim;
    const float total = reduce_add(load(softmax.weight_sums + row * kWidth));
    const Vec inverse = broadcast(visible_to(args, row) > 0 ? 1.0f / total : 0.0f);
    for (std::int64_t d = 0; d < args.head_dim; d += kWidth) {
      const Vec sum = load(softmax.sums + row * softmax.columns + d);
      store_lanes(out + d, mul(sum, inverse), lanes_from(d, args.head_dim));
    }
  }
}

template <class T>
void attend(const AttentionArgs& args, std::byte* part, std::byte* memory) {
  const std::int64_t rows = args.tokens * args.group;
  const AttentionScratch<T> scratch(memory, args.head_dim);
  const Softmax softmax(part, rows, args.head_dim);
  gather_queries(args, scratch.queries);
  clear(softmax, rows);
  const std::int64_t keys = visible_to(args, rows - 1);
  for (std::int64_t first = 0; first < keys; first += args.block_pages * kPageKeys) {
    attend_block(args, first, scratch, softmax);
  }
  finish_rows<T>(args, softmax);
}

template <class T>
void attend_part(const AttentionArgs& args, std::int64_t first, std::byte* part,
                 std::byte* memory) {
  const std::int64_t rows = args.tokens * args.group;
  const AttentionScratch<T> scratch(memory, args.head_dim);
  const Softmax softmax(part, rows, args.head_dim);
  gather_queries(args, scratch.queries);
  clear(softmax, rows);
  attend_block(args, first, scratch, softmax);
}

template <class T>
void join_parts(const AttentionArgs& args, std::byte* parts, std::int64_t count) {
  const std::int64_t rows = args.tokens * args.group;
  const Softmax softmax(parts, rows, args.head_dim);
  for (std::int64_t i = 1; i < count; ++i) {
    parts += softmax_bytes(rows, args.head_dim);
    join(softmax, Softmax(parts, rows, args.head_dim), rows);
  }
  finish_rows<T>(args, softmax);
}

template <class T>
constexpr AttentionFunctions attention_functions() {
  return {store_kv<T>, rotate<T>, attend<T>, attend_part<T>, join_parts<T>};
}

constexpr AttentionKernels attention_kernels() {
#ifdef INTERNVL_HAS_PAIRS
  constexpr AttentionFunctions kBFloat16 = attention_functions<BFloat16>();
#else
  constexpr AttentionFunctions kBFloat16{};
#endif
  return {kv_block_bytes, attention_scratch_bytes, softmax_bytes, attention_functions<float>(),
          kBFloat16};
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
