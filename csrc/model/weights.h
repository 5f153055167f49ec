// The model is this struct of prepared weights. Canonical names, which Python's tables map
// checkpoint tensors to, are the paths of the fields: "vision.layers.3.qkv",
// "decoder.layers.0.gate".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/byte_source.h"
#include "model/config.h"

namespace internvl {

struct VisionLayerWeights {
  Norm norm1;           // (C)
  Linear qkv;           // (3C, C), rows [q | k | v]
  Norm q_norm, k_norm;  // (C), over all heads together; only if qk_normalization
  Linear proj;          // (C, C)
  Matrix ls1;           // (1, C) float32
  Norm norm2;           // (C)
  Linear fc1;           // (I, C)
  Linear fc2;           // (C, I)
  Matrix ls2;           // (1, C) float32
};

struct VisionWeights {
  Linear patch_embedding;     // (C, channels * patch^2)
  Matrix class_embedding;     // (1, C) float32
  Matrix position_embedding;  // (1 + (image_size / patch)^2, C) float32
  std::vector<VisionLayerWeights> layers;
};

struct ProjectorWeights {
  Norm norm;       // (C * factor^2), LayerNorm eps 1e-5
  Linear linear1;  // (L, C * factor^2)
  Linear linear2;  // (L, L)
};

struct DecoderLayerWeights {
  Norm attention_norm;  // (L)
  Linear qkv;           // ((heads + 2 kv_heads) * head_dim, L), rows [q | k | v]
  Linear wo;            // (L, heads * head_dim)
  Norm ffn_norm;        // (L)
  Linear gate_up;       // 2 x (I, L), interleaved by the backend
  Linear down;          // (L, I)
};

struct DecoderWeights {
  Matrix tok_embeddings;  // (vocab, L) in the weights' dtype
  std::vector<DecoderLayerWeights> layers;
  Norm norm;      // (L)
  Linear output;  // (vocab, L)
};

struct InternVLWeights {
  VisionWeights vision;
  ProjectorWeights projector;
  DecoderWeights decoder;
};

/// Rows of a row-major (.., cols) matrix in a checkpoint, which begin at `offset` of their source.
struct StoredRows {
  std::shared_ptr<const ByteSource> source;
  std::size_t offset;
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;

  std::size_t bytes() const { return static_cast<std::size_t>(rows * cols) * size_of(dtype); }
};

/// Canonical name -> its rows, one range below the other. "<linear>.bias" for biases.
using WeightMap = std::map<std::string, std::vector<StoredRows>>;

/// Called after each weight with the bytes read so far, of all that the config asks for; may throw
/// to stop.
using LoadProgress = std::function<void(std::size_t bytes)>;

/// Prepares every weight that the config asks for; a source is open while a weight that reads it is
/// prepared. Throws CheckpointError naming a canonical weight that is missing or whose shape is not
/// the config's.
InternVLWeights prepare_weights(const InternVLConfig& config, DType dtype, const Backend& backend,
                                const WeightMap& stored, const LoadProgress& progress);

}  // namespace internvl
