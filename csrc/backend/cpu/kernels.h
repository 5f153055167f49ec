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
  /// [panel_begin, panel_end) give. The order of additions depends on in_features alone.
  void (*run)(const LinearArgs& args, std::int64_t row_begin, std::int64_t row_end,
              std::int64_t panel_begin, std::int64_t panel_end, std::byte* scratch);
};

/// Rows of one task: with a block of the depth they fill half of a 1 MB L2 cache.
constexpr std::int64_t kLinearRows = 240;

struct Kernels {
  const char* isa;
  LinearKernels linear;
};

const Kernels& kernels_generic();
#ifdef __x86_64__
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
const Kernels& kernels_avx512bf16();
#endif

}  // namespace internvl::cpu
