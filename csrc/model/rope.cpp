#include "model/rope.h"

#include <cmath>
#include <limits>

namespace internvl {
namespace {

// modeling_internlm2.py, InternLM2DynamicNTKScalingRotaryEmbedding._set_cos_sin_cache
double rope_base(std::int64_t sequence_length, const DecoderConfig& config) {
  if (sequence_length <= unscaled_length(config)) return config.rope_theta;
  const double factor = config.rope_scaling.factor;
  const double dim = static_cast<double>(config.head_dim());
  const double ratio = factor * static_cast<double>(sequence_length) /
                           static_cast<double>(config.max_position_embeddings) -
                       (factor - 1.0);
  return config.rope_theta * std::pow(ratio, dim / (dim - 2.0));
}

}  // namespace

std::int64_t unscaled_length(const DecoderConfig& config) {
  return config.rope_scaling.type == RopeScaling::Type::kDynamic
             ? config.max_position_embeddings
             : std::numeric_limits<std::int64_t>::max();
}

Matrix rope_table(const std::vector<std::int32_t>& positions, std::int64_t sequence_length,
                  const DecoderConfig& config) {
  const auto rows = static_cast<std::int64_t>(positions.size());
  const std::int64_t dim = config.head_dim();
  Matrix table(Buffer(rows * dim * sizeof(float)), DType::kFloat32, rows, dim);
  const std::int64_t half = dim / 2;
  const double base = rope_base(sequence_length, config);
  const float divisor = config.rope_scaling.type == RopeScaling::Type::kLinear
                            ? static_cast<float>(config.rope_scaling.factor)
                            : 1.0f;
  std::vector<float> inverse_frequency(half);
  for (std::int64_t i = 0; i < half; ++i) {
    // The exponent, the power and its reciprocal are float32 values in the reference.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim());
    inverse_frequency[i] = 1.0f / static_cast<float>(std::pow(base, exponent));
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const float position = static_cast<float>(positions[r]) / divisor;
    float* row = table.tensor().row<float>(r);
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle = position * inverse_frequency[i];  // rounded to float32, as there
      row[i] = static_cast<float>(std::cos(angle));
      row[half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

}  // namespace internvl
