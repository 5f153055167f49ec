#include "model/vision_transformer.h"

#include <algorithm>

#include "backend/transfer.h"
#include "core/error.h"
#include "model/position_embedding.h"

namespace internvl {

PixelValues PixelValues::slice(std::int64_t first, std::int64_t count) const {
  const std::int64_t tile_bytes =
      channels * height * width * static_cast<std::int64_t>(size_of(dtype));
  PixelValues part = *this;
  part.data = static_cast<const std::byte*>(data) + first * tile_bytes;
  part.tiles = count;
  return part;
}

std::int64_t VisionTransformer::tokens(const PixelValues& pixels) const {
  check(pixels.channels == config_.num_channels, "pixel_values: expected ", config_.num_channels,
        " channels, got ", pixels.channels);
  check(pixels.height >= config_.patch_size && pixels.width >= config_.patch_size,
        "pixel_values: tiles of ", pixels.height, "x", pixels.width,
        " pixels are smaller than one patch of ", config_.patch_size);
  return 1 + (pixels.height / config_.patch_size) * (pixels.width / config_.patch_size);
}

std::int64_t VisionTransformer::tiles_per_pass(std::int64_t tokens) const {
  const std::int64_t row_bytes =
      4 * config_.hidden_size + static_cast<std::int64_t>(size_of(activation_)) *
                                    (5 * config_.hidden_size + config_.intermediate_size);
  return std::max<std::int64_t>(1, backend_.vision_workspace() / (row_bytes * tokens));
}

void VisionTransformer::embed(Tensor hidden, const PixelValues& pixels) const {
  const std::int64_t grid_height = pixels.height / config_.patch_size;
  const std::int64_t grid_width = pixels.width / config_.patch_size;
  const std::int64_t patches = pixels.tiles * grid_height * grid_width;
  const std::int64_t patch_size = config_.num_channels * config_.patch_size * config_.patch_size;
  const std::int64_t width = config_.hidden_size;

  const std::int64_t tile_size = pixels.channels * pixels.height * pixels.width;
  const Matrix columns = backend_.matrix(activation_, patches, patch_size);
  const Matrix embedded = backend_.matrix(DType::kFloat32, patches, width);
  const Matrix input = to_backend(backend_, {const_cast<void*>(pixels.data), pixels.dtype,
                                             pixels.tiles, tile_size, tile_size, pixels.place});
  backend_.patchify(columns, input, pixels.channels, pixels.height, pixels.width,
                    config_.patch_size);
  backend_.linear(embedded, columns, weights_.patch_embedding);

  const std::int64_t side = config_.image_size / config_.patch_size;
  const Matrix& trained = weights_.position_embedding;
  if (grid_height == side && grid_width == side) {
    backend_.vision_embed(hidden, embedded, weights_.class_embedding, trained);
  } else {
    const Matrix resampled = keep_on_backend(
        backend_,
        interpolate_position_embedding(to_host(backend_, trained), side, grid_height, grid_width));
    backend_.vision_embed(hidden, embedded, weights_.class_embedding, resampled);
  }
}

void VisionTransformer::forward(Tensor hidden, const PixelValues& pixels, std::int64_t layers,
                                const Observer& observer,
                                const CheckInterrupt& check_interrupt) const {
  embed(hidden, pixels);
  encode(hidden, hidden.rows / pixels.tiles, layers, observer, check_interrupt);
}

void VisionTransformer::encode(Tensor hidden, std::int64_t tokens, std::int64_t layers,
                               const Observer& observer,
                               const CheckInterrupt& check_interrupt) const {
  const std::int64_t rows = hidden.rows;
  const std::int64_t width = config_.hidden_size;
  const std::int64_t heads = config_.num_attention_heads;
  const Matrix normed = backend_.matrix(activation_, rows, width);
  const Matrix qkv = backend_.matrix(activation_, rows, 3 * width);
  const Matrix mlp = backend_.matrix(activation_, rows, config_.intermediate_size);
  const Tensor q = qkv.tensor().slice_cols(0, width);
  const Tensor k = qkv.tensor().slice_cols(width, width);
  const Tensor context = normed;  // the normed input is dead once qkv is made

  if (observer) observer("vit.embeddings", hidden);
  if (layers == 0) return;
  backend_.norm(normed, hidden, weights_.layers.front().norm1);
  for (std::int64_t i = 0; i < layers; ++i) {
    check_interrupt();
    const VisionLayerWeights& layer = weights_.layers[i];
    const Norm* next = i + 1 == layers ? nullptr : &weights_.layers[i + 1].norm1;
    backend_.linear(qkv, normed, layer.qkv);
    if (config_.qk_normalization) backend_.qk_norm(q, k, layer.q_norm, layer.k_norm);
    backend_.attention(context, qkv, tokens, heads, config_.attention_scale());
    backend_.linear_add(hidden, context, layer.proj, layer.ls1, {normed, &layer.norm2});

    backend_.linear(mlp, normed, layer.fc1, config_.hidden_act);
    backend_.linear_add(hidden, mlp, layer.fc2, layer.ls2, {normed, next});
    if (observer) observer(message("vit.layer", i + 1), hidden);
  }
}

}  // namespace internvl
