#include "core/error.h"
#include "cuda/kernels/gemv_float.cuh"
#include "cuda/kernels/gemv_mma.cuh"
#include "cuda/kernels/kernels.h"

namespace internvl::cuda {
namespace {

bool is_aligned(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data) % 16 == 0 &&
         tensor.stride * size_of(tensor.dtype) % 16 == 0;
}

void run_float(Stream stream, const GemvArguments& args) {
  const std::int64_t per_block = args.result == GemvResult::kGated ? 1 : kGemvFeatures;
  const std::int64_t blocks = divide_up(args.features, per_block) * divide_up(args.rows, kGemvRows);
  const auto kernel = args.rows == 1   ? gemv_float_kernel<1>
                      : args.rows == 2 ? gemv_float_kernel<2>
                      : args.rows <= 4 ? gemv_float_kernel<4>
                                       : gemv_float_kernel<kGemvRows>;
  launch(kernel, {static_cast<unsigned>(blocks)}, kGemvThreads, 0, stream, args);
}

template <class T, int kTiles, bool kAligned>
void launch_mma(Stream stream, const GemvArguments& args) {
  const std::int64_t per_block = kMmaWeightRows / (args.result == GemvResult::kGated ? 2 : 1);
  const Grid grid{static_cast<unsigned>(divide_up(args.features, per_block)),
                  static_cast<unsigned>(divide_up(args.rows, kTiles * kMmaTileRows))};
  launch(gemv_mma_kernel<T, kTiles, kAligned>, grid, kMmaWarps * kWarp, 0, stream, args);
}

template <class T>
void run_mma(Stream stream, const GemvArguments& args) {
  const std::int64_t tiles = divide_up(args.rows, kMmaTileRows);
  if (!args.aligned || args.depth % kMmaReadElements != 0)
    return launch_mma<T, 1, false>(stream, args);
  if (tiles == 1) return launch_mma<T, 1, true>(stream, args);
  if (tiles == 2) return launch_mma<T, 2, true>(stream, args);
  if (tiles <= 4) return launch_mma<T, 4, true>(stream, args);
  launch_mma<T, kMmaTiles, true>(stream, args);
}

void run_gemv(Stream stream, const Tensor& out, const Tensor& x, const Tensor& weight,
              const float* bias, const float* scale, GemvResult result, Activation activation) {
  const std::int64_t weight_rows = out.cols * (result == GemvResult::kGated ? 2 : 1);
  check(x.rows <= kFewRows, "gemv: x: expected at most ", kFewRows, " rows, got ", x.rows);
  check(weight.dtype == x.dtype && weight.rows == weight_rows && weight.cols == x.cols,
        "gemv: weight: expected ", name_of(x.dtype), " of shape (", weight_rows, ", ", x.cols,
        "), got ", name_of(weight.dtype), " (", weight.rows, ", ", weight.cols, ")");
  check(out.rows == x.rows, "gemv: out: expected ", x.rows, " rows, got ", out.rows);
  check(out.dtype == DType::kFloat32 || (out.dtype == x.dtype && result != GemvResult::kAdd),
        "gemv: out: expected float32, got ", name_of(out.dtype));
  if (out.rows == 0 || out.cols == 0) return;
  const GemvArguments args{out.data,
                           x.data,
                           weight.data,
                           bias,
                           scale,
                           out.stride,
                           x.stride,
                           weight.stride,
                           static_cast<int>(x.rows),
                           static_cast<int>(x.cols),
                           static_cast<int>(out.cols),
                           is_aligned(x) && is_aligned(weight),
                           out.dtype != DType::kFloat32,
                           result,
                           activation};
  with_element(x.dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (sizeof(T) == 2) {
      run_mma<T>(stream, args);
    } else {
      run_float(stream, args);
    }
  });
}

}  // namespace

void gemv(Stream stream, Tensor out, Tensor x, Tensor weight, const float* bias,
          Activation activation) {
  run_gemv(stream, out, x, weight, bias, nullptr, GemvResult::kStore, activation);
}

void gemv_add(Stream stream, Tensor residual, Tensor x, Tensor weight, const float* bias,
              const float* scale) {
  run_gemv(stream, residual, x, weight, bias, scale, GemvResult::kAdd, Activation::kNone);
}

void gemv_gated(Stream stream, Tensor out, Tensor x, Tensor weight, const float* bias,
                Activation activation) {
  run_gemv(stream, out, x, weight, bias, nullptr, GemvResult::kGated, activation);
}

}  // namespace internvl::cuda
