// Attention of a block of query rows over the packed keys and values of pages (see kv_impl.h), with
// a running softmax: some pages after the other, scores, weights and the weighted sum of values.
//
// A row's result depends on its own query, keys and values alone, bit for bit: every product adds
// in the order of its depth, blocks begin at multiples of kBlockKeys keys, and keys that a row does
// not see have weight zero, which changes no sum as long as their values are finite.
#pragma once

#include "backend/cpu/kv_impl.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr int kTileRows = 6;
constexpr float kLowest = -3.40282347e38f;  // -FLT_MAX
constexpr float kInfinity = __builtin_inff();

/// Keys whose scores a tile of rows has at once, before the maxima of its rows are raised.
constexpr std::int64_t kBlockPages = 4;
constexpr std::int64_t kBlockKeys = kBlockPages * kPageKeys;

// One step of a product: a lane of `b` takes one float32 of depth or a pair of bfloat16.
inline Vec broadcast_step(const float* a) { return broadcast(*a); }
inline Vec load_step(const float* b) { return load(b); }
inline Vec add_step(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
#ifdef INTERNVL_HAS_PAIRS
inline Pairs broadcast_step(const BFloat16* a) { return broadcast_pair(a); }
inline Pairs load_step(const BFloat16* b) { return load_pairs(b); }
inline Vec add_step(Pairs a, Pairs b, Vec sum) { return fma_pairs(a, b, sum); }
#endif

/// c = a b, or c = decay c + a b with a factor per row: kRows x (kVectors * kWidth) of it. The
/// depth of b lies in parts of `part_steps` steps, each `offset` elements behind a pointer of
/// `parts`.
template <class T, int kRows, int kVectors>
void product_tile(const T* a, std::int64_t a_stride, const T* const* parts, std::int64_t offset,
                  std::int64_t b_stride, std::int64_t part_steps, std::int64_t steps, float* c,
                  std::int64_t c_stride, const float* decay) {
  Vec sums[kRows][kVectors];
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) {
      sums[i][j] = decay ? mul(load(c + i * c_stride + j * kWidth), broadcast(decay[i])) : zero();
    }
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
             const Packed<T>& b, std::int64_t depth, std::int64_t columns, const float* decay) {
  const std::int64_t part_steps = (b.depth + kPair<T> - 1) / kPair<T>;
  const std::int64_t steps = (depth + kPair<T> - 1) / kPair<T>;
  for (std::int64_t n = 0; n < columns; n += kPanel) {
    const std::int64_t width = least(kPanel, b.columns - n);
    const int vectors = static_cast<int>((least(kPanel, columns - n) + kWidth - 1) / kWidth);
    product_tile_of<T, kTileRows, kPanelVectors>(rows, vectors, a, a_stride, b.parts, n * b.depth,
                                                 width * kPair<T>, part_steps, steps, c + n,
                                                 c_stride, decay);
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

/// Weights 2^(scale * score - maximum) of the `visible` first keys, zeros for the others of
/// `columns`. The sums shrink by `decay` and take in the weight of key k in lane k % kWidth.
template <class T>
void weigh(T* weights, float* sums, float decay, float maximum, const float* scores,
           std::int64_t visible, std::int64_t columns, float scale) {
  const Vec factor = broadcast(scale);
  const Vec shift = broadcast(-maximum);
  Vec sum = mul(load(sums), broadcast(decay));
  std::int64_t n = 0;
  INTERNVL_UNROLL for (; n + kWidth <= visible; n += kWidth) {
    const Vec weight = softmax_weight(fma(load(scores + n), factor, shift), weights);
    sum = add(sum, weight);
    store(weights + n, weight);
  }
  if (n < visible) {
    const Vec weight = softmax_weight(fma(load(scores + n), factor, shift), weights);
    const Vec seen = keep_first(weight, static_cast<int>(visible - n));
    sum = add(sum, seen);
    store(weights + n, seen);
    n += kWidth;
  }
  for (; n < columns; n += kWidth) store(weights + n, zero());
  store(sums, sum);
}

/// Memory of one task: the running softmax and the sums of each query row.
template <class T>
struct AttentionScratch {
  AttentionScratch(std::byte* memory, std::int64_t rows, std::int64_t head_dim)
      : sums(reinterpret_cast<float*>(memory)),
        weight_sums(sums + rows * round_up(head_dim, kWidth)),
        maxima(weight_sums + rows * kWidth),
        queries(reinterpret_cast<T*>(maxima + rows)) {}

  float* sums;         // (rows, head_dim in whole vectors): of the weighted values so far
  float* weight_sums;  // (rows, kWidth)
  float* maxima;       // (rows): of the scores so far, scaled
  T* queries;          // (rows, head_dim)
};

inline std::size_t attention_scratch_bytes(std::int64_t rows, std::int64_t head_dim) {
  return rows * (round_up(head_dim, kWidth) + kWidth + 1 + head_dim) * sizeof(float);
}

/// Takes in the highest new scores of `rows` rows. decay becomes that by which the weights of
/// earlier keys shrink.
inline void raise_maxima(float* maxima, const float* highest, int rows, float scale, float* decay) {
  for (int i = 0; i < rows; i += kWidth) {
    const int lanes = lanes_from(i, rows);
    const Vec before = load_lanes(maxima + i, lanes);
    const Vec after = max(mul(load_lanes(highest + i, lanes), broadcast(scale)), before);
    store_lanes(maxima + i, after, lanes);
    store_lanes(decay + i, exp2(sub(before, after), kExp2), lanes);
  }
}

template <class T>
void attend(const AttentionArgs& args, std::byte* memory) {
  const std::int64_t head_dim = args.head_dim;
  const std::int64_t columns = round_up(head_dim, kWidth);
  const std::int64_t rows = args.tokens * args.group;  // row = token * group + head
  const AttentionScratch<T> scratch(memory, rows, head_dim);
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* q = static_cast<const T*>(args.q) + row / args.group * args.q_stride +
                 row % args.group * head_dim;
    std::memcpy(scratch.queries + row * head_dim, q, head_dim * sizeof(T));
    scratch.maxima[row] = kLowest;
    store(scratch.weight_sums + row * kWidth, zero());
    for (std::int64_t d = 0; d < columns; d += kWidth) {
      store(scratch.sums + row * columns + d, zero());
    }
  }

  const float scale = args.scale * 1.44269504f;  // e^x = 2^(x / ln 2)
  const auto visible = [&](std::int64_t row) {
    return args.visible + (args.causal ? row / args.group : 0);
  };
  alignas(64) float scores[kTileRows * kBlockKeys];
  alignas(64) T weights[kTileRows * kBlockKeys];
  float maxima[kTileRows];
  float decay[kTileRows];
  const std::int64_t keys = visible(rows - 1);
  for (std::int64_t first = 0; first < keys; first += kBlockKeys) {
    const T* page_keys[kBlockPages];
    const T* page_values[kBlockPages];
    const std::int64_t pages = (least(kBlockKeys, keys - first) + kPageKeys - 1) / kPageKeys;
    for (std::int64_t page = 0; page < pages; ++page) {
      page_keys[page] =
          reinterpret_cast<const T*>(args.pages[first / kPageKeys + page] + args.offset);
      page_values[page] = page_keys[page] + kPageKeys * head_dim;
    }
    for (std::int64_t row = 0; row < rows; row += kTileRows) {
      const int count = static_cast<int>(least(kTileRows, rows - row));
      const std::int64_t seen = least(kBlockKeys, visible(row + count - 1) - first);
      if (seen <= 0) continue;
      for (std::int64_t n = 0; n < seen; n += kPageKeys) {
        const Packed<T> page{page_keys + n / kPageKeys, head_dim, kPageKeys};
        product(scores + n, kBlockKeys, scratch.queries + row * head_dim, head_dim, count, page,
                head_dim, least(kPageKeys, seen - n), nullptr);
      }
      // One loop for all maxima and one for all weights: rows wait for their maxima together.
      const auto seen_by = [&](int i) { return least(seen, visible(row + i) - first); };
      for (int i = 0; i < count; ++i) {
        maxima[i] = seen_by(i) > 0 ? highest(scores + i * kBlockKeys, seen_by(i)) : -kInfinity;
      }
      raise_maxima(scratch.maxima + row, maxima, count, scale, decay);
      for (int i = 0; i < count; ++i) {
        weigh(weights + i * kBlockKeys, scratch.weight_sums + (row + i) * kWidth, decay[i],
              scratch.maxima[row + i], scores + i * kBlockKeys, seen_by(i), seen, scale);
      }
      product(scratch.sums + row * columns, columns, weights, kBlockKeys, count,
              Packed<T>{page_values, kPageKeys, columns}, seen, columns, decay);
    }
  }

  for (std::int64_t row = 0; row < rows; ++row) {
    T* out = static_cast<T*>(args.out) + row / args.group * args.out_stride +
             row % args.group * head_dim;
    const float total = reduce_add(load(scratch.weight_sums + row * kWidth));
    const Vec inverse = broadcast(visible(row) > 0 ? 1.0f / total : 0.0f);
    for (std::int64_t d = 0; d < head_dim; d += kWidth) {
      const Vec sum = load(scratch.sums + row * columns + d);
      store_lanes(out + d, mul(sum, inverse), lanes_from(d, head_dim));
    }
  }
}

template <class T>
constexpr AttentionFunctions attention_functions() {
  return {store_kv<T>, rotate<T>, attend<T>};
}

constexpr AttentionKernels attention_kernels() {
#ifdef INTERNVL_HAS_PAIRS
  constexpr AttentionFunctions kBFloat16 = attention_functions<BFloat16>();
#else
  constexpr AttentionFunctions kBFloat16{};
#endif
  return {kv_block_bytes, attention_scratch_bytes, attention_functions<float>(), kBFloat16};
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
