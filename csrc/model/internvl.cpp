#include "model/internvl.h"

#include <algorithm>

#include "backend/transfer.h"

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
  const Matrix storage = backend_->matrix(DType::kFloat32, chunk * vision_tokens, width);
  for (std::int64_t first = 0; first < pixels.tiles; first += chunk) {
    const std::int64_t count = std::min(chunk, pixels.tiles - first);
    const Tensor hidden = storage.tensor().slice_rows(0, count * vision_tokens);
    const Output out(*backend_, features.slice_rows(first * tokens, count * tokens));
    vision_.forward(hidden, pixels.slice(first, count), layers, observer, check_interrupt);
    projector_.forward(out, hidden, count, observer);
    out.finish();
  }
}

void InternVL::vision_forward(Tensor hidden, const PixelValues& pixels, std::int64_t layers,
                              const Observer& observer,
                              const CheckInterrupt& check_interrupt) const {
  const std::int64_t tokens = vision_.tokens(pixels);
  const std::int64_t chunk = vision_.tiles_per_pass(tokens);
  for (std::int64_t first = 0; first < pixels.tiles; first += chunk) {
    const std::int64_t count = std::min(chunk, pixels.tiles - first);
    const Output out(*backend_, hidden.slice_rows(first * tokens, count * tokens));
    vision_.forward(out, pixels.slice(first, count), layers, observer, check_interrupt);
    out.finish();
  }
}

void InternVL::vision_encode(Tensor hidden, Tensor embeddings, std::int64_t tokens,
                             const Observer& observer,
                             const CheckInterrupt& check_interrupt) const {
  const std::int64_t chunk = vision_.tiles_per_pass(tokens) * tokens;
  for (std::int64_t first = 0; first < hidden.rows; first += chunk) {
    const std::int64_t rows = std::min(chunk, hidden.rows - first);
    const Output out(*backend_, hidden.slice_rows(first, rows));
    backend_->copy(out, embeddings.slice_rows(first, rows));
    vision_.encode(out, tokens, config_.vision.num_hidden_layers, observer, check_interrupt);
    out.finish();
  }
}

void InternVL::project(Tensor features, Tensor shuffled) const {
  const Output out(*backend_, features);
  projector_.project(out, to_backend(*backend_, shuffled));
  out.finish();
}

}  // namespace internvl
