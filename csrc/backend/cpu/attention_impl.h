// Attention of a block of query rows over the packed keys and values of pages (see kv_impl.h), with
// a running softmax: page after page, scores, weights and the weighted sum of values.
//
// A row's result depends on its own query, keys and values alone, bit for bit: every product adds
// in the order of its depth, pages begin at multiples of kPageKeys keys, and keys that a row does
// not see have weight zero, which changes no sum as long as their values are finite.
#pragma once

#include "backend/cpu/kv_impl.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr int kTileRows = 6;
constexpr float kLowest = -3.40282347e38f;  // -FLT_MAX

// One step of a product: a lane of `b` takes one float32 of depth or a pair of bfloat16.
inline Vec broadcast_step(const float* a) { return broadcast(*a); }
inline Vec load_step(const float* b) { return load(b); }
inline Vec add_step(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
#ifdef INTERNVL_HAS_PAIRS
inline Pairs broadcast_step(const BFloat16* a) { return broadcast_pair(a); }
inline Pairs load_step(const BFloat16* b) { return load_pairs(b); }
inline Vec add_step(Pairs a, Pairs b, Vec sum) { return fma_pairs(a, b, sum); }
#endif

/// c = a b, or c = decay c + a b with a factor per row: kRows x (kVectors * kWidth) of it.
template <class T, int kRows, int kVectors>
void product_tile(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride,
                  std::int64_t steps, float* c, std::int64_t c_stride, const float* decay) {
  Vec sums[kRows][kVectors];
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) sums[i][j] = zero();
  }
  for (std::int64_t step = 0; step < steps; ++step, a += kPair<T>, b += b_stride) {
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
  }
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kVectors; ++j) {
      float* to = c + i * c_stride + j * kWidth;
      store(to, decay ? fma(load(to), broadcast(decay[i]), sums[i][j]) : sums[i][j]);
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

/// A matrix in panels.
template <class T>
struct Packed {
  const T* data;
  std::int64_t depth;
  std::int64_t columns;
};

/// The leading `columns` columns, rounded up to whole vectors, of the product over the leading
/// `depth` of b, for up to kTileRows rows.
template <class T>
void product(float* c, std::int64_t c_stride, const T* a, std::int64_t a_stride, int rows,
             const Packed<T>& b, std::int64_t depth, std::int64_t columns, const float* decay) {
  const std::int64_t steps = (depth + kPair<T> - 1) / kPair<T>;
  for (std::int64_t n = 0; n < columns; n += kPanel) {
    const std::int64_t width = least(kPanel, b.columns - n);
    const int vectors = static_cast<int>((least(kPanel, columns - n) + kWidth - 1) / kWidth);
    product_tile_of<T, kTileRows, kPanelVectors>(rows, vectors, a, a_stride, b.data + n * b.depth,
                                                 width * kPair<T>, steps, c + n, c_stride, decay);
  }
}

/// The running softmax of one query row.
struct RowState {
  float maximum;       ///< of the scores so far, scaled
  float sums[kWidth];  ///< of the weights so far, key k in lane k % kWidth
};

/// Takes in the scores of the `visible` first keys of a page. Returns by what the weights of
/// earlier pages shrink since the maximum has grown. Scores of whole vectors are written over.
inline float raise_maximum(RowState& state, float* scores, std::int64_t visible, float scale) {
  if (visible <= 0) return 1.0f;
  const std::int64_t end = round_up(visible, kWidth);
  // A score that is seen stands in for those that are not, whatever they are.
  for (std::int64_t n = visible; n < end; ++n) scores[n] = scores[0];
  Vec highest = load(scores);
  for (std::int64_t n = kWidth; n < end; n += kWidth) highest = max(highest, load(scores + n));
  const float maximum = reduce_max(highest) * scale;
  if (!(maximum > state.maximum)) return 1.0f;
  float decay[kWidth];
  store(decay, exp2(broadcast(state.maximum - maximum)));
  state.maximum = maximum;
  store(state.sums, mul(load(state.sums), broadcast(decay[0])));
  return decay[0];
}

/// Weights 2^(scale * score - maximum) of the `visible` first keys, zeros for the others of
/// `columns`.
template <class T>
void weigh(T* weights, RowState& state, const float* scores, std::int64_t visible,
           std::int64_t columns, float scale) {
  const Vec factor = broadcast(scale);
  const Vec shift = broadcast(-state.maximum);
  Vec sum = load(state.sums);
  std::int64_t n = 0;
  INTERNVL_UNROLL for (; n + kWidth <= visible; n += kWidth) {
    const Vec weight = exp2(fma(load(scores + n), factor, shift));
    sum = add(sum, weight);
    store(weights + n, weight);
  }
  if (n < visible) {
    const Vec weight = exp2(fma(load(scores + n), factor, shift));
    const Vec seen = keep_first(weight, static_cast<int>(visible - n));
    sum = add(sum, seen);
    store(weights + n, seen);
    n += kWidth;
  }
  for (; n < columns; n += kWidth) store(weights + n, zero());
  store(state.sums, sum);
}

/// Memory of one task.
template <class T>
struct AttentionScratch {
  AttentionScratch(std::byte* memory, std::int64_t rows, std::int64_t head_dim)
      : sums(reinterpret_cast<float*>(memory)),
        states(reinterpret_cast<RowState*>(sums + rows * round_up(head_dim, kWidth))),
        queries(reinterpret_cast<T*>(states + rows)) {}

  float* sums;       // (rows, head_dim in whole vectors)
  RowState* states;  // (rows)
  T* queries;        // (rows, head_dim)
};

inline std::size_t attention_scratch_bytes(std::int64_t rows, std::int64_t head_dim) {
  return rows * ((round_up(head_dim, kWidth) + head_dim) * sizeof(float) + sizeof(RowState));
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
    scratch.states[row].maximum = kLowest;
    store(scratch.states[row].sums, zero());
    for (std::int64_t d = 0; d < columns; d += kWidth) {
      store(scratch.sums + row * columns + d, zero());
    }
  }

  const float scale = args.scale * 1.44269504f;  // e^x = 2^(x / ln 2)
  const auto visible = [&](std::int64_t row) {
    return args.visible + (args.causal ? row / args.group : 0);
  };
  alignas(64) float scores[kTileRows * kPageKeys];
  alignas(64) T weights[kTileRows * kPageKeys];
  float decay[kTileRows];
  const std::int64_t keys = visible(rows - 1);
  for (std::int64_t first = 0; first < keys; first += kPageKeys) {
    const T* block = reinterpret_cast<const T*>(args.pages[first / kPageKeys] + args.offset);
    const Packed<T> page_keys{block, head_dim, kPageKeys};
    const Packed<T> page_values{block + kPageKeys * head_dim, kPageKeys, columns};
    for (std::int64_t row = 0; row < rows; row += kTileRows) {
      const int count = static_cast<int>(least(kTileRows, rows - row));
      const std::int64_t seen = least(kPageKeys, visible(row + count - 1) - first);
      if (seen <= 0) continue;
      product(scores, kPageKeys, scratch.queries + row * head_dim, head_dim, count, page_keys,
              head_dim, seen, nullptr);
      // One loop for all maxima and one for all weights: rows wait for their maxima together.
      for (int i = 0; i < count; ++i) {
        decay[i] = raise_maximum(scratch.states[row + i], scores + i * kPageKeys,
                                 least(seen, visible(row + i) - first), scale);
      }
      for (int i = 0; i < count; ++i) {
        weigh(weights + i * kPageKeys, scratch.states[row + i], scores + i * kPageKeys,
              least(seen, visible(row + i) - first), seen, scale);
      }
      product(scratch.sums + row * columns, columns, weights, kPageKeys, count, page_values, seen,
              columns, decay);
    }
  }

  for (std::int64_t row = 0; row < rows; ++row) {
    T* out = static_cast<T*>(args.out) + row / args.group * args.out_stride +
             row % args.group * head_dim;
    const float total = reduce_add(load(scratch.states[row].sums));
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
