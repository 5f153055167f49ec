#include "model/position_embedding.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/thread_pool.h"

namespace internvl {
namespace {

// Four neighbouring samples along one axis and their weights.
struct Taps {
  std::array<std::int64_t, 4> index;
  std::array<float, 4> weight;
};

Taps cubic_taps(std::int64_t out_index, std::int64_t in_size, std::int64_t out_size) {
  constexpr float a = -0.75f;
  const float scale = static_cast<float>(in_size) / static_cast<float>(out_size);
  const float source = scale * (static_cast<float>(out_index) + 0.5f) - 0.5f;
  const float base = std::floor(source);
  const float t = source - base;
  const auto near = [&](float x) { return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f; };
  const auto far = [&](float x) { return ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a; };
  Taps taps;
  taps.weight = {far(t + 1.0f), near(t), near(1.0f - t), far(2.0f - t)};
  for (int i = 0; i < 4; ++i)
    taps.index[i] =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(base) - 1 + i, 0, in_size - 1);
  return taps;
}

}  // namespace

Matrix interpolate_position_embedding(Tensor position, std::int64_t side, std::int64_t height,
                                      std::int64_t width) {
  const std::int64_t cols = position.cols;
  const std::int64_t rows = 1 + height * width;
  Matrix result(Buffer(static_cast<std::size_t>(rows * cols) * sizeof(float)), DType::kFloat32,
                rows, cols);
  std::copy_n(position.row<float>(0), cols, result.tensor().row<float>(0));
  parallel_for(height, [&](std::int64_t y, int) {
    const Taps rows = cubic_taps(y, side, height);
    for (std::int64_t x = 0; x < width; ++x) {
      const Taps columns = cubic_taps(x, side, width);
      float* out = result.tensor().row<float>(1 + y * width + x);
      for (std::int64_t c = 0; c < cols; ++c) {
        float sum = 0.0f;
        for (int i = 0; i < 4; ++i) {
          float row_sum = 0.0f;
          for (int j = 0; j < 4; ++j)
            row_sum += columns.weight[j] *
                       position.row<float>(1 + rows.index[i] * side + columns.index[j])[c];
          sum += rows.weight[i] * row_sum;
        }
        out[c] = sum;
      }
    }
  });
  return result;
}

}  // namespace internvl
