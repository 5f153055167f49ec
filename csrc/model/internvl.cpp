#include "model/internvl.h"

#include <algorithm>

namespace internvl {

InternVL::InternVL(const InternVLConfig& config, DType dtype,
                   std::shared_ptr<const Backend> backend, const WeightMap& stored,
                   const LoadProgress& progress)
    : config_(config),
      dtype_(dtype),
      backend_(std::move(backend)),
      weights_(prepare_weights(config_, dtype, *backend_, stored, progress)),
      vision_(config_.vision, weights_.vision, *backend_, backend_->activation_dtype(dtype)),
      projector_(config_, weights_.projector, *backend_, backend_->activation_dtype(dtype)),
      decoder_(config_.decoder, weights_.decoder, *backend_, backend_->activation_dtype(dtype)) {}

std::int64_t InternVL::tokens_per_tile(const PixelValues& pixels) const {
  return projector_.tokens(vision_.tokens(pixels));
}

void InternVL::extract_feature(Tensor features, const PixelValues& pixels, const Observer& observer,
                               const CheckInterrupt& check_interrupt) const {
  const std::int64_t layers = config_.select_layer >= 0
                                  ? config_.select_layer
                                  : config_.vision.num_hidden_layers + 1 + config_.select_layer;
  const std::int64_t vision_tokens = vision_.tokens(pixels);
  const std::int64_t tokens = tokens_per_tile(pixels);
  const std::int64_t width = config_.vision.hidden_size;
  const std::int64_t chunk = std::min(pixels.tiles, vision_.tiles_per_pass(vision_tokens));
  const Buffer storage = backend_->allocate(chunk * vision_tokens * width * sizeof(float));
  for (std::int64_t first = 0; first < pixels.tiles; first += chunk) {
    const std::int64_t count = std::min(chunk, pixels.tiles - first);
    const Tensor hidden = matrix(storage.data(), DType::kFloat32, count * vision_tokens, width);
    vision_.forward(hidden, pixels.slice(first, count), layers, observer, check_interrupt);
    projector_.forward(features.slice_rows(first * tokens, count * tokens), hidden, count,
                       observer);
  }
}

void InternVL::vision_forward(Tensor hidden, const PixelValues& pixels, std::int64_t layers,
                              const Observer& observer,
                              const CheckInterrupt& check_interrupt) const {
  const std::int64_t tokens = vision_.tokens(pixels);
  const std::int64_t chunk = vision_.tiles_per_pass(tokens);
  for (std::int64_t first = 0; first < pixels.tiles; first += chunk) {
    const std::int64_t count = std::min(chunk, pixels.tiles - first);
    vision_.forward(hidden.slice_rows(first * tokens, count * tokens), pixels.slice(first, count),
                    layers, observer, check_interrupt);
  }
}

void InternVL::vision_encode(Tensor hidden, std::int64_t tokens, const Observer& observer,
                             const CheckInterrupt& check_interrupt) const {
  const std::int64_t chunk = vision_.tiles_per_pass(tokens) * tokens;
  for (std::int64_t first = 0; first < hidden.rows; first += chunk)
    vision_.encode(hidden.slice_rows(first, std::min(chunk, hidden.rows - first)), tokens,
                   config_.vision.num_hidden_layers, observer, check_interrupt);
}

}  // namespace internvl
