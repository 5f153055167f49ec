// The table of kernels that exists once per instruction set. A kernel is single-threaded, takes
// plain data and never throws; CpuBackend cuts an operation into tasks and calls it on each.
//
// kernels_<isa>.cpp includes simd_<isa>.h and then the *_impl.h files, which define the same
// functions in a namespace per instruction set. Those files include nothing but <immintrin.h> and
// plain types: an inline function that they shared with the rest of the library could leak AVX-512
// instructions into a baseline caller.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/activation.h"
#include "core/element.h"

namespace internvl::cpu {

/// What happens to a finished product x W^T + b.
enum class Epilogue : std::uint8_t {
  kStore,  ///< out = activation(product)
  kGated,  ///< out = activation(gate product) * (up product)
  kAdd,    ///< out += scale * product; out is float32
};

/// One linear operation. The weight lies in panels of panel_columns rows of W (padded with zeros):
/// (panels, in_features, panel_columns), or, in pairs of bfloat16,
/// (panels, ceil(in_features / 2), panel_columns, 2). Panels for kGated hold panel_columns / 2 rows
/// of the gate and then as many of up.
struct LinearArgs {
  void* out;
  const void* x;
  const void* weight;
  const float* bias;   ///< panel by panel as the weight, padded; or null
  const float* scale;  ///< (out_features), or null; for kAdd
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t rows;
  std::int64_t in_features;
  std::int64_t out_features;  ///< columns of out
  DType out_dtype;            ///< float32 or the activation dtype
  DType weight_dtype;
  Epilogue epilogue;
  Activation activation;
};

struct LinearKernels {
  int panel_columns;
  /// bfloat16 weights are packed in pairs and take bfloat16 activations; otherwise all weights are
  /// widened to float32 and take float32 activations.
  bool bfloat16_pairs;
  std::size_t scratch_bytes;
  /// Computes rows [row_begin, row_end), at most kLinearRows of them, of the columns that panels
  /// [panel_begin, panel_end) give. The order of additions depends on in_features alone. The weight
  /// of next_panel is brought into the L2 cache for the task that follows.
  void (*run)(const LinearArgs& args, std::int64_t row_begin, std::int64_t row_end,
              std::int64_t panel_begin, std::int64_t panel_end, std::byte* scratch,
              std::int64_t next_panel);
};

/// Rows of one task: with a block of the depth they fill half of a 1 MB L2 cache.
constexpr std::int64_t kLinearRows = 240;

/// Keys of a page.
constexpr std::int64_t kPageKeys = 128;

/// Pages whose scores a few rows have at once, before the maxima of their softmax are raised: few
/// enough for scores and weights to stay in the L1 cache.
constexpr std::int64_t kMostBlockPages = 5;

/// Stores keys and values of `count` tokens from `position` of a page on. Their rows are `stride`
/// elements apart; `block` is what the page holds for one layer and key-value head.
struct StoreKvArgs {
  std::byte* block;
  const void* keys;
  const void* values;
  std::int64_t stride;
  std::int64_t position;
  std::int64_t count;
  std::int64_t head_dim;
};

/// Attention of `tokens` rows of `group` neighbouring query heads over one key-value head.
struct AttentionArgs {
  void* out;      ///< of the first token and head
  const void* q;  ///< of the first token and head
  std::int64_t out_stride;
  std::int64_t q_stride;
  std::int64_t tokens;
  std::int64_t group;
  std::int64_t head_dim;
  const std::byte* const* pages;
  std::int64_t block_pages;  ///< pages of a block of keys, at most kMostBlockPages
  std::size_t offset;        ///< of the block of this layer and head in every page
  std::int64_t visible;      ///< keys that the first token sees
  bool causal;               ///< each further token sees one key more
  float scale;
};

/// For one dtype of activations; null where the instruction set does not have it.
struct AttentionFunctions {
  void (*store_kv)(const StoreKvArgs& args);
  /// Rotates `count` heads that lie one behind the other; table = [cos | sin].
  void (*rotate)(void* heads, const float* table, std::int64_t count, std::int64_t head_dim);
  /// `part` is memory of part_bytes.
  void (*attend)(const AttentionArgs& args, std::byte* part, std::byte* scratch);
  /// The same, bit for bit, by several tasks: what the block of keys from `first` on gives, and the
  /// output of all blocks' parts, in ascending order one behind the other.
  void (*attend_part)(const AttentionArgs& args, std::int64_t first, std::byte* part,
                      std::byte* scratch);
  void (*join_parts)(const AttentionArgs& args, std::byte* parts, std::int64_t count);
};

struct AttentionKernels {
  std::size_t (*kv_block_bytes)(std::int64_t head_dim, DType dtype);
  std::size_t (*scratch_bytes)(std::int64_t rows, std::int64_t head_dim);
  std::size_t (*part_bytes)(std::int64_t rows, std::int64_t head_dim);
  AttentionFunctions float32;
  AttentionFunctions bfloat16;
};

/// Norm over the columns of rows.
struct NormArgs {
  void* out;
  const void* x;
  const float* weight;
  const float* bias;  ///< or null
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t cols;
  DType out_dtype;
  DType x_dtype;
  float eps;
  bool centered;  ///< layer norm: the mean is subtracted
};

struct RowKernels {
  void (*convert)(void* out, DType out_dtype, const void* x, DType x_dtype, std::int64_t count);
  void (*norm)(const NormArgs& args, std::int64_t row_begin, std::int64_t row_end);
};

/// Weights of resampling (image/bicubic.h) are kWeightBits of fraction, and below 2 in magnitude.
/// Kernels cut them into narrower digits, from the top: sums of each digit, put together at the
/// end, wrap at 32 bits to the same as sums of whole weights.
constexpr int kWeightBits = 32 - 8 - 2;  // 8 of the result, 2 of headroom for overshoot
/// Of the lower one of two 16-bit halves.
constexpr int kLowBits = 12;
/// Inputs of a row that are weighted at once.
constexpr int kTapGroup = 4;
/// Rows that are filtered at once.
constexpr int kFilterRows = 4;
/// Bytes that may be read behind the taps of a row, and written behind its outputs.
constexpr int kFilterSlack = 4;

/// kTapGroup weights as the kernel multiplies with them.
struct TapGroup {
  std::int8_t digits[4 * kTapGroup];
};

/// Output x of a row is made of `groups` groups of pixels from first[x] on.
struct RowTaps {
  const int* first;
  const TapGroup* taps;  // (outputs, groups)
  int groups;
  int outputs;
};

/// Weights of two neighbouring rows.
struct ColumnTaps {
  std::int16_t high[2];
  std::int16_t low[2];
};

/// Sums of interleaved 8-bit RGB, rounded and clamped to 8 bits.
struct ResampleKernels {
  /// Weights of `count` groups, to what `rows` takes.
  void (*cut)(const std::int32_t* weights, TapGroup* groups, std::size_t count);
  /// Along kFilterRows rows.
  void (*rows)(const std::uint8_t* const* source, std::uint8_t* const* target, const RowTaps& taps);
  /// Across `count` rows, `stride` bytes apart: one row of `bytes`. The second of the last taps is
  /// zero if count is odd.
  void (*columns)(const std::uint8_t* rows, std::int64_t stride, const ColumnTaps* taps, int count,
                  std::int64_t bytes, std::uint8_t* target);
};

/// Loops that do nothing but what limits a machine; sink has 16 floats.
struct CeilingKernels {
  /// Multiplies and adds on registers; returns the number of floating-point operations.
  double (*burn_float32)(std::int64_t rounds, float* sink);
  double (*burn_bfloat16)(std::int64_t rounds, float* sink);
  void (*read_floats)(const float* from, std::int64_t count, float* sink);
};

struct Kernels {
  const char* isa;
  LinearKernels linear;
  AttentionKernels attention;
  RowKernels rows;
  ResampleKernels resample;
  CeilingKernels ceilings;
};

const Kernels& kernels_generic();
#ifdef __x86_64__
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
const Kernels& kernels_avx512bf16();
#endif

}  // namespace internvl::cpu
