// y = x W^T on packed panels, with the epilogue applied while a tile is in the L1 cache.
//
// A tile is kRowTile rows by one panel. Each of its sums starts at zero (or where the previous
// block of the depth left it) and takes the products in ascending order: the result of a row does
// not depend on how many rows are computed beside it, nor on the blocks.
#pragma once

#include "backend/cpu/epilogue_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr int kRowTile = 6;
constexpr int kPrefetchBytes = 4096;

// ---- products

/// What a tile brings into the caches with each step of the depth.
enum class Fetch {
  kNothing,
  kOwn,   ///< its block of the panel, which comes from memory
  kNext,  ///< a share of what is read after this block, into the L2 cache
};

/// Where a tile's share of the next block lies.
struct Ahead {
  const char* at;
  std::int64_t step;  ///< bytes

  void fetch() {
    prefetch_l2(at);
    at += step;
  }
};

template <int kRows>
inline void load_tile(Vec (&sum)[kRows][kPanelVectors], const float* c, std::int64_t c_stride,
                      bool accumulate) {
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kPanelVectors; ++j) {
      sum[i][j] = accumulate ? load(c + i * c_stride + j * kWidth) : zero();
    }
  }
}

template <int kRows>
inline void store_tile(float* c, std::int64_t c_stride, const Vec (&sum)[kRows][kPanelVectors]) {
  INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
    INTERNVL_UNROLL for (int j = 0; j < kPanelVectors; ++j) {
      store(c + i * c_stride + j * kWidth, sum[i][j]);
    }
  }
}

/// c(kRows, kPanelColumns) = (accumulate ? c : 0) + x(kRows, depth) panel(depth, kPanelColumns)
template <int kRows, Fetch kFetch, class Weight>
inline void multiply_tile(float* c, std::int64_t c_stride, const float* x, std::int64_t x_stride,
                          const Weight* panel, std::int64_t depth, bool accumulate, Ahead ahead) {
  Vec sum[kRows][kPanelVectors];
  load_tile(sum, c, c_stride, accumulate);
  for (std::int64_t k = 0; k < depth; ++k, panel += kPanelColumns) {
    Vec weight[kPanelVectors];
    INTERNVL_UNROLL for (int j = 0; j < kPanelVectors; ++j) weight[j] = load(panel + j * kWidth);
    if (kFetch == Fetch::kNext) ahead.fetch();
    if (kFetch == Fetch::kOwn) {
      constexpr int kStep = 64 / sizeof(Weight);
      INTERNVL_UNROLL for (int j = 0; j < kPanelColumns; j += kStep) {
        prefetch(reinterpret_cast<const char*>(panel + j) + kPrefetchBytes);
      }
    }
    INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
      const Vec factor = broadcast(x[i * x_stride + k]);
      INTERNVL_UNROLL for (int j = 0; j < kPanelVectors; ++j) {
        sum[i][j] = fma(factor, weight[j], sum[i][j]);
      }
    }
  }
  store_tile(c, c_stride, sum);
}

#ifdef INTERNVL_HAS_PAIRS
/// The same for panel(ceil(depth / 2), kPanelColumns, 2).
template <int kRows, Fetch kFetch>
inline void multiply_tile(float* c, std::int64_t c_stride, const BFloat16* x, std::int64_t x_stride,
                          const BFloat16* panel, std::int64_t depth, bool accumulate, Ahead ahead) {
  Vec sum[kRows][kPanelVectors];
  load_tile(sum, c, c_stride, accumulate);
  const auto add_products = [&](std::int64_t k, auto broadcast_x) {
    if (kFetch == Fetch::kNext) ahead.fetch();
    Pairs weight[kPanelVectors];
    INTERNVL_UNROLL for (int j = 0; j < kPanelVectors; ++j) {
      weight[j] = load_pairs(panel + j * 2 * kWidth);
      if (kFetch == Fetch::kOwn) {
        prefetch(reinterpret_cast<const char*>(panel + j * 2 * kWidth) + kPrefetchBytes);
      }
    }
    INTERNVL_UNROLL for (int i = 0; i < kRows; ++i) {
      const Pairs factor = broadcast_x(x + i * x_stride + k);
      INTERNVL_UNROLL for (int j = 0; j < kPanelVectors; ++j) {
        sum[i][j] = fma_pairs(factor, weight[j], sum[i][j]);
      }
    }
    panel += 2 * kPanelColumns;
  };
  std::int64_t k = 0;
  for (; k + 2 <= depth; k += 2) {
    add_products(k, [](const BFloat16* from) { return broadcast_pair(from); });
  }
  // What lies behind an odd row may be anything, infinity times the panel's zero included.
  if (k < depth) add_products(k, [](const BFloat16* from) { return broadcast_single(from); });
  store_tile(c, c_stride, sum);
}
#endif

/// The same for any number of rows up to kRows.
template <int kRows, Fetch kFetch, class X, class Weight>
inline void multiply_tile_rows(int rows, float* c, std::int64_t c_stride, const X* x,
                               std::int64_t x_stride, const Weight* panel, std::int64_t depth,
                               bool accumulate, Ahead ahead) {
  if constexpr (kRows > 1) {
    if (rows < kRows) {
      return multiply_tile_rows<kRows - 1, kFetch>(rows, c, c_stride, x, x_stride, panel, depth,
                                                   accumulate, ahead);
    }
  }
  multiply_tile<kRows, kFetch>(c, c_stride, x, x_stride, panel, depth, accumulate, ahead);
}

template <class Weight>
inline void widen(float* wide, const Weight* panel, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kWidth) {
    prefetch(reinterpret_cast<const char*>(panel + i) + kPrefetchBytes);
    store(wide + i, load(panel + i));
  }
}

// ---- the kernel

template <class X, class Weight>
struct IsSame {
  static constexpr bool value = false;
};
template <class X>
struct IsSame<X, X> {
  static constexpr bool value = true;
};

template <Fetch kFetch>
struct Fetches {
  static constexpr Fetch value = kFetch;
};

template <class X, class Weight>
void run_linear(const LinearArgs& args, std::int64_t row_begin, std::int64_t row_end,
                std::int64_t panel_begin, std::int64_t panel_end, float* scratch,
                std::int64_t next_panel) {
  constexpr bool kWidens = !IsSame<X, Weight>::value;
  constexpr std::int64_t kBlock = kDepthBlock * sizeof(float) / sizeof(X);
  const std::int64_t depth = args.in_features;
  const std::int64_t padded = sizeof(X) == 2 ? (depth + 1) / 2 * 2 : depth;
  const std::int64_t rows = row_end - row_begin;
  const bool one_block = depth <= kBlock;
  float* wide = scratch + kLinearRows * kPanelColumns;
  const X* x = static_cast<const X*>(args.x) + row_begin * args.x_stride;
  for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
    const Weight* weight = static_cast<const Weight*>(args.weight) + panel * padded * kPanelColumns;
    for (std::int64_t k = 0; k < depth; k += kBlock) {
      const std::int64_t count = depth - k < kBlock ? depth - k : kBlock;
      const Weight* block = weight + k * kPanelColumns;
      const bool last = k + count == depth;
      const Weight* next =
          last && panel + 1 == panel_end
              ? static_cast<const Weight*>(args.weight) + next_panel * padded * kPanelColumns
              : block + count * kPanelColumns;
      const std::int64_t steps = sizeof(X) == 2 ? (count + 1) / 2 : count;
      const std::int64_t others = rows > 2 * kRowTile ? (rows - 1) / kRowTile : 1;
      const std::int64_t share =
          least(64, count * kPanelColumns * sizeof(Weight) / (steps * others) + 1);
      // Widening the block once pays when more than two tiles read it.
      const bool widens = kWidens && rows > 2 * kRowTile;
      if constexpr (kWidens) {
        if (widens) widen(wide, block, count * kPanelColumns);
      }
      for (std::int64_t row = 0; row < rows; row += kRowTile) {
        const int tile = rows - row < kRowTile ? static_cast<int>(rows - row) : kRowTile;
        float* c = scratch + (one_block ? 0 : row * kPanelColumns);
        if (last) prefetch_out(args, row_begin + row, tile, panel);
        const Ahead ahead{
            reinterpret_cast<const char*>(next) + (row / kRowTile - 1) * steps * share, share};
        const X* x_tile = x + row * args.x_stride + k;
        const auto multiply = [&](auto fetch, const auto* from) {
          multiply_tile_rows<kRowTile, decltype(fetch)::value>(
              tile, c, kPanelColumns, x_tile, args.x_stride, from, count, k > 0, ahead);
        };
        if (widens) {
          if constexpr (kWidens) multiply(Fetches<Fetch::kNothing>{}, wide);
        } else if (row == 0) {  // the first tile brings the block into the cache
          multiply(Fetches<Fetch::kOwn>{}, block);
        } else {
          multiply(Fetches<Fetch::kNext>{}, block);
        }
        if (last) finish_tile<X>(args, c, row_begin + row, tile, panel);
      }
    }
  }
}

inline void run_linear_any(const LinearArgs& args, std::int64_t row_begin, std::int64_t row_end,
                           std::int64_t panel_begin, std::int64_t panel_end, std::byte* bytes,
                           std::int64_t next_panel) {
  float* scratch = reinterpret_cast<float*>(bytes);
  switch (args.weight_dtype) {
    case DType::kFloat32:
      return run_linear<float, float>(args, row_begin, row_end, panel_begin, panel_end, scratch,
                                      next_panel);
    case DType::kBFloat16:
#ifdef INTERNVL_HAS_PAIRS
      return run_linear<BFloat16, BFloat16>(args, row_begin, row_end, panel_begin, panel_end,
                                            scratch, next_panel);
#else
      return run_linear<float, BFloat16>(args, row_begin, row_end, panel_begin, panel_end, scratch,
                                         next_panel);
#endif
    case DType::kFloat16:
      return run_linear<float, Float16>(args, row_begin, row_end, panel_begin, panel_end, scratch,
                                        next_panel);
  }
}

constexpr LinearKernels linear_kernels() {
  constexpr std::size_t kScratchFloats = (kLinearRows + kDepthBlock) * kPanelColumns;
#ifdef INTERNVL_HAS_PAIRS
  constexpr bool kPairs = true;
#else
  constexpr bool kPairs = false;
#endif
  return {kPanelColumns, kPairs, kScratchFloats * sizeof(float), run_linear_any};
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
