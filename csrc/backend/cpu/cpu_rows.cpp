// Operations that move, convert or normalise rows.
#include <algorithm>
#include <cstring>

#include "backend/checks.h"
#include "backend/cpu/cpu_backend.h"
#include "core/error.h"
#include "core/order.h"
#include "core/thread_pool.h"

namespace internvl::cpu {
namespace {

constexpr std::int64_t kTaskElements = 16384;  // worth waking a thread for

/// Calls body(begin, end) on ranges of rows of `cols` elements each, in parallel.
template <class Body>
void for_row_ranges(std::int64_t rows, std::int64_t cols, const Body& body) {
  const std::int64_t range =
      std::max<std::int64_t>(1, kTaskElements / std::max<std::int64_t>(1, cols));
  parallel_for((rows + range - 1) / range, [&](std::int64_t task, int) {
    body(task * range, std::min(rows, (task + 1) * range));
  });
}

template <class Body>
void for_rows(std::int64_t rows, std::int64_t cols, const Body& body) {
  for_row_ranges(rows, cols, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row);
  });
}

std::byte* at(const Tensor& tensor, std::int64_t row, std::int64_t col) {
  return static_cast<std::byte*>(tensor.data) + (row * tensor.stride + col) * size_of(tensor.dtype);
}

/// The norm of rows of x into out, row by row.
NormArgs norm_args(const Tensor& out, const Tensor& x, const Norm& norm) {
  check_shape("norm: out", out, x.rows, x.cols);
  check(norm.weight.bytes() == x.cols * sizeof(float), "norm: expected a weight of ", x.cols,
        " values, got ", norm.weight.bytes() / sizeof(float));
  check(norm.bias.bytes() == 0 || norm.bias.bytes() == x.cols * sizeof(float),
        "norm: expected a bias of ", x.cols, " values, got ", norm.bias.bytes() / sizeof(float));
  NormArgs args;
  args.out = out.data;
  args.x = x.data;
  args.weight = norm.weight.as<float>();
  args.bias = norm.bias.bytes() == 0 ? nullptr : norm.bias.as<float>();
  args.out_stride = out.stride;
  args.x_stride = x.stride;
  args.cols = x.cols;
  args.out_dtype = out.dtype;
  args.x_dtype = x.dtype;
  args.eps = norm.eps;
  args.centered = norm.kind == Norm::Kind::kLayer;
  return args;
}

/// A pixel shuffle, row by row.
struct Shuffle {
  Tensor x;
  std::int64_t side;
  std::int64_t factor;
  bool transposed;

  /// Row `row` of the result.
  void run(const RowKernels& kernels, std::byte* out, DType out_dtype, std::int64_t row) const {
    const std::int64_t small = side / factor;
    const std::int64_t tile = row / (small * small);
    std::int64_t i = row % (small * small) / small;
    std::int64_t j = row % small;
    if (transposed) std::swap(i, j);
    const std::int64_t first = tile * (side * side + 1) + 1;
    const std::size_t part_bytes = x.cols * size_of(out_dtype);
    for (std::int64_t dy = 0; dy < factor; ++dy) {
      for (std::int64_t dx = 0; dx < factor; ++dx, out += part_bytes) {
        const std::int64_t from = first + (i * factor + dy) * side + j * factor + dx;
        kernels.convert(out, out_dtype, at(x, from, 0), x.dtype, x.cols);
      }
    }
  }
};

}  // namespace

void CpuBackend::copy(Tensor out, Tensor x) const {
  check_shape("copy: out", out, x.rows, x.cols);
  for_rows(x.rows, x.cols, [&](std::int64_t row) {
    kernels_.rows.convert(at(out, row, 0), out.dtype, at(x, row, 0), x.dtype, x.cols);
  });
}

void CpuBackend::patchify(Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
                          std::int64_t width, std::int64_t patch) const {
  const std::int64_t across = width / patch;
  const std::int64_t patches = height / patch * across;
  const std::int64_t used = channels * patch * patch;
  check_shape("patchify: pixels", pixels, pixels.rows, channels * height * width);
  check_shape("patchify: out", out, pixels.rows * patches, std::max(out.cols, used));
  for_rows(out.rows, out.cols, [&](std::int64_t row) {
    const std::int64_t tile = row / patches;
    const std::int64_t top = row % patches / across * patch;
    const std::int64_t left = row % patches % across * patch;
    for (std::int64_t line = 0; line < channels * patch; ++line) {  // (channel, y)
      const std::int64_t y = line / patch * height + top + line % patch;
      kernels_.rows.convert(at(out, row, line * patch), out.dtype,
                            at(pixels, tile, y * width + left), pixels.dtype, patch);
    }
    std::memset(at(out, row, used), 0, (out.cols - used) * size_of(out.dtype));
  });
}

void CpuBackend::vision_embed(Tensor hidden, Tensor patches, Tensor class_embedding,
                              Tensor position) const {
  check_vision_embed(hidden, patches, class_embedding, position);
  check_float32("vision_embed: patches", patches);
  const std::int64_t tokens = position.rows;
  for_rows(hidden.rows, hidden.cols, [&](std::int64_t row) {
    const std::int64_t tile = row / tokens;
    const std::int64_t token = row % tokens;
    const float* content = token == 0 ? class_embedding.row<float>(0)
                                      : patches.row<float>(tile * (tokens - 1) + token - 1);
    const float* where = position.row<float>(token);
    float* out = hidden.row<float>(row);
    for (std::int64_t c = 0; c < hidden.cols; ++c) out[c] = content[c] + where[c];
  });
}

void CpuBackend::gather_rows(Tensor out, Tensor table,
                             const std::vector<std::int32_t>& rows) const {
  check_shape("gather_rows: out", out, static_cast<std::int64_t>(rows.size()), table.cols);
  for_rows(out.rows, out.cols, [&](std::int64_t row) {
    if (rows[row] < 0) return;
    kernels_.rows.convert(at(out, row, 0), out.dtype, at(table, rows[row], 0), table.dtype,
                          out.cols);
  });
}

TokenChoice CpuBackend::choose(Tensor scores, const TokenRule& rule, const TokenInputs&) const {
  check_float32("choose: scores", scores);
  check<InternalError>(rule.is_argmax(), "choose: a rule that can_choose() refuses");
  TokenChoice choice;
  choice.tokens.resize(scores.rows);
  for_rows(scores.rows, scores.cols, [&](std::int64_t row) {
    choice.tokens[row] = static_cast<std::int32_t>(argmax(scores.row<float>(row), scores.cols));
  });
  return choice;
}

void CpuBackend::norm(Tensor out, Tensor x, const Norm& norm) const {
  const NormArgs args = norm_args(out, x, norm);
  for_row_ranges(x.rows, x.cols, [&](std::int64_t begin, std::int64_t end) {
    kernels_.rows.norm(args, begin, end);
  });
}

void CpuBackend::qk_norm(Tensor q, Tensor k, const Norm& q_norm, const Norm& k_norm) const {
  check_qk_norm(q, k);
  norm(q, q, q_norm);
  norm(k, k, k_norm);
}

void CpuBackend::pixel_shuffle(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                               bool transposed) const {
  check_pixel_shuffle(out, x, side, factor);
  const Shuffle shuffle{x, side, factor, transposed};
  for_rows(out.rows, out.cols,
           [&](std::int64_t row) { shuffle.run(kernels_.rows, at(out, row, 0), out.dtype, row); });
}

void CpuBackend::pixel_shuffle_norm(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                                    bool transposed, const Norm& norm) const {
  check_pixel_shuffle(out, x, side, factor);
  check_float32("pixel_shuffle_norm: x", x);
  const Shuffle shuffle{x, side, factor, transposed};
  for_rows(out.rows, out.cols, [&](std::int64_t row) {
    std::byte* shuffled = thread_scratch(out.cols * sizeof(float));
    shuffle.run(kernels_.rows, shuffled, DType::kFloat32, row);
    const Tensor input = internvl::matrix(shuffled, DType::kFloat32, 1, out.cols);
    kernels_.rows.norm(norm_args(out.slice_rows(row, 1), input, norm), 0, 1);
  });
}

}  // namespace internvl::cpu
