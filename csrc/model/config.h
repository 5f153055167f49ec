// Shapes and constants of a checkpoint, under the names its config.json gives them. Python reads
// and validates the JSON; these structs hold what arithmetic needs.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "backend/backend.h"

namespace internvl {

struct VisionConfig {
  std::int64_t hidden_size = 3200;
  std::int64_t intermediate_size = 12800;
  std::int64_t num_hidden_layers = 48;
  std::int64_t num_attention_heads = 25;
  std::int64_t num_channels = 3;
  std::int64_t image_size = 224;  ///< the position embedding's; tiles may be of another size
  std::int64_t patch_size = 14;
  bool qkv_bias = false;
  bool qk_normalization = true;
  Norm::Kind norm_type = Norm::Kind::kRms;
  float layer_norm_eps = 1e-6f;
  Activation hidden_act = Activation::kGelu;

  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  float attention_scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim())); }
};

struct RopeScaling {
  enum class Type : std::uint8_t { kNone, kLinear, kDynamic };
  Type type = Type::kNone;
  double factor = 1.0;
};

/// InternLM2 and Llama differ in tensor names only: the loader's tables deal with those.
struct DecoderConfig {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t max_position_embeddings = 2048;
  float rms_norm_eps = 1e-6f;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  Activation hidden_act = Activation::kSilu;

  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  float attention_scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim())); }
};

struct InternVLConfig {
  VisionConfig vision;
  DecoderConfig decoder;
  std::int64_t select_layer = -1;
  std::int64_t downsample_factor = 2;  ///< 1 / downsample_ratio
  bool transposed_shuffle = false;     ///< ps_version "v1"
};

}  // namespace internvl
