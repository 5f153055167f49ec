// InternViT: pixels to hidden states. One call a chunk of tiles; reads as the reference's
// InternVisionModel (modeling_intern_vit.py).
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "core/observer.h"
#include "model/config.h"
#include "model/weights.h"

namespace internvl {

/// Pixel values (tiles, channels, height, width), contiguous, already normalised, in the host's or
/// the backend's memory.
struct PixelValues {
  const void* data;
  DType dtype;
  std::int64_t tiles;
  std::int64_t channels;
  std::int64_t height;
  std::int64_t width;
  Place place = Place::kHost;

  PixelValues slice(std::int64_t first, std::int64_t count) const;
};

class VisionTransformer {
 public:
  VisionTransformer(const VisionConfig& config, const VisionWeights& weights,
                    const Backend& backend, DType activation)
      : config_(config), weights_(weights), backend_(backend), activation_(activation) {}

  /// Rows a tile becomes: one class token and its patches. Throws InvalidArgument for pixels that
  /// the model cannot take.
  std::int64_t tokens(const PixelValues& pixels) const;

  /// Tiles of `tokens` rows that one forward() takes, so that its workspace stays bounded.
  std::int64_t tiles_per_pass(std::int64_t tokens) const;

  /// hidden (tiles * tokens, C) float32 = output of layer `layers` (0: the embeddings).
  /// The observer sees "vit.embeddings" and "vit.layer1" ... "vit.layer<layers>".
  void forward(Tensor hidden, const PixelValues& pixels, std::int64_t layers,
               const Observer& observer, const CheckInterrupt& check_interrupt) const;

  /// hidden (tiles * tokens, C) float32: the embeddings become the output of layer `layers`. The
  /// observer sees what it sees in forward().
  void encode(Tensor hidden, std::int64_t tokens, std::int64_t layers, const Observer& observer,
              const CheckInterrupt& check_interrupt) const;

 private:
  void embed(Tensor hidden, const PixelValues& pixels) const;

  const VisionConfig& config_;
  const VisionWeights& weights_;
  const Backend& backend_;
  DType activation_;
};

}  // namespace internvl
