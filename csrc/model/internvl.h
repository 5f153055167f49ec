// InternVL-Chat: config, weights, and the straight path from pixels to rows for the decoder.
#pragma once

#include <functional>
#include <memory>

#include "backend/backend.h"
#include "core/observer.h"
#include "model/config.h"
#include "model/decoder.h"
#include "model/projector.h"
#include "model/vision_transformer.h"
#include "model/weights.h"

namespace internvl {

/// Immutable after construction: any number of threads may use one model at once.
class InternVL {
 public:
  InternVL(const InternVLConfig& config, DType dtype, std::shared_ptr<const Backend> backend,
           const WeightMap& stored, const LoadProgress& progress);
  InternVL(const InternVL&) = delete;
  InternVL& operator=(const InternVL&) = delete;

  const InternVLConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  const Backend& backend() const { return *backend_; }
  const Decoder& decoder() const { return decoder_; }
  const VisionTransformer& vision() const { return vision_; }
  const Projector& projector() const { return projector_; }

  /// Decoder rows that one tile of these pixels becomes.
  std::int64_t tokens_per_tile(const PixelValues& pixels) const;

  // Tensors of these four lie in the host's or the backend's memory.

  /// features (tiles * tokens_per_tile, L) float32: extract_feature() of the reference. The vision
  /// transformer runs on a few tiles at a time; only the layers up to select_layer run.
  void extract_feature(Tensor features, const PixelValues& pixels, const Observer& observer,
                       const CheckInterrupt& check_interrupt) const;

  /// hidden (tiles * vision().tokens, C) float32: output of vision layer `layers`.
  void vision_forward(Tensor hidden, const PixelValues& pixels, std::int64_t layers,
                      const Observer& observer, const CheckInterrupt& check_interrupt) const;

  /// hidden (tiles * tokens, C) float32: output of the last vision layer for these embeddings.
  void vision_encode(Tensor hidden, Tensor embeddings, std::int64_t tokens,
                     const Observer& observer, const CheckInterrupt& check_interrupt) const;

  /// features (rows, L) float32 = mlp1 of pixel-shuffled rows (rows, C / downsample_ratio^2).
  void project(Tensor features, Tensor shuffled) const;

 private:
  const InternVLConfig config_;
  const DType dtype_;
  const std::shared_ptr<const Backend> backend_;
  const InternVLWeights weights_;
  const VisionTransformer vision_;
  const Projector projector_;
  const Decoder decoder_;
};

}  // namespace internvl
