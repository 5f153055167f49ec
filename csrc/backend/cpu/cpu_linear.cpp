// Cutting linear operations into tasks.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace internvl::cpu {

void CpuBackend::linear(Tensor out, Tensor x, const Linear& linear, Activation activation) const {
  run_linear(out, x, linear, Epilogue::kStore, activation, nullptr);
}

void CpuBackend::linear_gated(Tensor out, Tensor x, const Linear& linear,
                              Activation activation) const {
  run_linear(out, x, linear, Epilogue::kGated, activation, nullptr);
}

void CpuBackend::linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale,
                            const NextNorm& next) const {
  check(residual.dtype == DType::kFloat32, "residual: expected float32, got ",
        name_of(residual.dtype));
  check(scale.data == nullptr || (scale.dtype == DType::kFloat32 && scale.rows == 1 &&
                                  scale.cols == linear.out_features),
        "scale: expected float32 of shape (1, ", linear.out_features, "), got ",
        name_of(scale.dtype), " (", scale.rows, ", ", scale.cols, ")");
  run_linear(residual, x, linear, Epilogue::kAdd, Activation::kNone,
             static_cast<const float*>(scale.data));
  if (next.norm != nullptr) norm(next.out, residual, *next.norm);
}

void CpuBackend::run_linear(Tensor out, Tensor x, const Linear& linear, Epilogue epilogue,
                            Activation activation, const float* scale) const {
  const DType activation_type = activation_dtype(linear.dtype);
  check(x.dtype == activation_type, "x: expected ", name_of(activation_type), ", got ",
        name_of(x.dtype));
  check(out.dtype == DType::kFloat32 || out.dtype == activation_type,
        "out: expected float32 or the activation dtype ", name_of(activation_type), ", got ",
        name_of(out.dtype));
  check(x.cols == linear.in_features, "x: expected ", linear.in_features, " columns, got ", x.cols);
  check(out.rows == x.rows && out.cols == linear.out_features, "out: expected shape (", x.rows,
        ", ", linear.out_features, "), got (", out.rows, ", ", out.cols, ")");
  const LinearKernels& kernels = kernels_.linear;
  const std::int64_t out_columns =
      epilogue == Epilogue::kGated ? kernels.panel_columns / 2 : kernels.panel_columns;
  const std::int64_t panels = divide_up(linear.out_features, out_columns);
  const bool pairs = kernels.bfloat16_pairs && linear.dtype == DType::kBFloat16;
  const std::int64_t depth = pairs ? divide_up(x.cols, 2) * 2 : x.cols;
  check<InternalError>(
      linear.weight.bytes() == panels * depth * kernels.panel_columns * size_of(linear.dtype),
      "linear: the weight was prepared for another operation or backend");
  if (x.rows == 0) return;

  LinearArgs args{};
  args.out = out.data;
  args.x = x.data;
  args.weight = linear.weight.data();
  args.bias = linear.bias.as<float>();
  args.scale = scale;
  args.out_stride = out.stride;
  args.x_stride = x.stride;
  args.rows = x.rows;
  args.in_features = linear.in_features;
  args.out_features = linear.out_features;
  args.out_dtype = out.dtype;
  args.weight_dtype = linear.dtype;
  args.epilogue = epilogue;
  args.activation = activation;

  // Tasks are blocks of rows by runs of neighbouring panels (which stream in one piece): many, to
  // balance threads of unequal speed, but none too small to be worth handing out. Where the panels
  // are too few for the threads, blocks are lower than the kernel would like them.
  constexpr std::int64_t kRowTile = 6;
  constexpr std::int64_t kLeastRows = 48;
  constexpr std::int64_t kTasksPerThread = 256;
  constexpr std::int64_t kMultiplications = 1 << 17;
  const std::int64_t wanted =
      std::max(divide_up(x.rows, kLinearRows),
               std::min(divide_up(4 * num_threads(), panels), divide_up(x.rows, kLeastRows)));
  const std::int64_t block_rows = divide_up(divide_up(x.rows, wanted), kRowTile) * kRowTile;
  const std::int64_t blocks = divide_up(x.rows, block_rows);
  const std::int64_t panel_work = std::min(block_rows, x.rows) * depth * kernels.panel_columns;
  const std::int64_t run = std::max(divide_up(panels * blocks, kTasksPerThread * num_threads()),
                                    divide_up(kMultiplications, panel_work));
  const std::int64_t runs = divide_up(panels, run);
  parallel_for(blocks * runs, [&](std::int64_t task, int) {
    const std::int64_t row = task / runs * block_rows;
    const std::int64_t panel = task % runs * run;
    const std::int64_t next_panel = (task + num_threads()) % runs * run;
    kernels.run(args, row, std::min(row + block_rows, x.rows), panel, std::min(panel + run, panels),
                thread_scratch(kernels.scratch_bytes), next_panel);
  });
}

}  // namespace internvl::cpu
