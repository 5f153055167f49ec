// Pixel shuffle and mlp1: vision hidden states to rows of the decoder's width.
#pragma once

#include "backend/backend.h"
#include "core/observer.h"
#include "model/config.h"
#include "model/weights.h"

namespace internvl {

class Projector {
 public:
  Projector(const InternVLConfig& config, const ProjectorWeights& weights, const Backend& backend,
            DType activation)
      : config_(config), weights_(weights), backend_(backend), activation_(activation) {}

  /// Rows that one tile of `tokens` vision rows (class token included) becomes. Throws
  /// InvalidArgument where its grid is not square or does not divide by the shuffle's factor.
  std::int64_t tokens(std::int64_t vision_tokens) const;

  /// features (tiles * tokens, L) float32 from hidden (tiles * vision_tokens, C) float32.
  /// The observer sees "pixel_shuffle" and "vit_embeds".
  void forward(Tensor features, Tensor hidden, std::int64_t tiles, const Observer& observer) const;

  /// features (rows, L) float32 = mlp1 of pixel-shuffled rows, float32.
  void project(Tensor features, Tensor shuffled) const;

 private:
  void project_normed(Tensor features, Tensor normed) const;

  const InternVLConfig& config_;
  const ProjectorWeights& weights_;
  const Backend& backend_;
  DType activation_;
};

}  // namespace internvl
