#include "model/projector.h"

#include <cmath>

#include "core/error.h"

namespace internvl {
namespace {

std::int64_t side_of(std::int64_t vision_tokens) {
  return static_cast<std::int64_t>(std::sqrt(static_cast<double>(vision_tokens - 1)));
}

}  // namespace

std::int64_t Projector::tokens(std::int64_t vision_tokens) const {
  const std::int64_t side = side_of(vision_tokens);
  const std::int64_t factor = config_.downsample_factor;
  check(side * side == vision_tokens - 1, "pixel_values: ", vision_tokens - 1,
        " patches a tile do not form a square; expected square tiles");
  check(side % factor == 0, "pixel_values: a grid of ", side, "x", side,
        " patches does not divide by ", factor, " (1 / downsample_ratio)");
  return (side / factor) * (side / factor);
}

void Projector::forward(Tensor features, Tensor hidden, std::int64_t tiles,
                        const Observer& observer) const {
  const std::int64_t vision_tokens = hidden.rows / tiles;
  const std::int64_t factor = config_.downsample_factor;
  const std::int64_t rows = tiles * tokens(vision_tokens);
  const std::int64_t in = config_.vision.hidden_size * factor * factor;
  const std::int64_t side = side_of(vision_tokens);
  const bool transposed = config_.transposed_shuffle;
  if (observer) {
    const Matrix shuffled = backend_.matrix(DType::kFloat32, rows, in);
    backend_.pixel_shuffle(shuffled, hidden, side, factor, transposed);
    observer("pixel_shuffle", shuffled);
  }
  const Matrix normed = backend_.matrix(activation_, rows, in);
  backend_.pixel_shuffle_norm(normed, hidden, side, factor, transposed, weights_.norm);
  project_normed(features, normed);
  if (observer) observer("vit_embeds", features);
}

void Projector::project(Tensor features, Tensor shuffled) const {
  const Matrix normed = backend_.matrix(activation_, shuffled.rows, shuffled.cols);
  backend_.norm(normed, shuffled, weights_.norm);
  project_normed(features, normed);
}

void Projector::project_normed(Tensor features, Tensor normed) const {
  const Matrix inner = backend_.matrix(activation_, normed.rows, config_.decoder.hidden_size);
  backend_.linear(inner, normed, weights_.linear1, Activation::kGelu);
  backend_.linear(features, inner, weights_.linear2);
}

}  // namespace internvl
