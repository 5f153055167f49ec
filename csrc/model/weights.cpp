#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <type_traits>
#include <utility>

#include "backend/transfer.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace internvl {
namespace {

constexpr std::int64_t kTaskRows = 512;  // copied and given back together

// Mapped tensors may lie at any byte, so elements are read through memcpy.
float read(const RowRange& range, std::int64_t index) {
  alignas(4) std::byte element[4];
  const std::size_t size = size_of(range.dtype);
  std::memcpy(element, range.data + index * size, size);
  return load_as_float(element, range.dtype, 0);
}

Matrix copy_table(const WeightSource& source, DType dtype, std::int64_t rows, std::int64_t cols,
                  const ReleaseBytes& release) {
  Matrix table(Buffer(static_cast<std::size_t>(rows * cols) * size_of(dtype)), dtype, rows, cols);
  std::byte* target = static_cast<std::byte*>(table.tensor().data);
  for (const RowRange& range : source) {
    const std::size_t row_bytes = static_cast<std::size_t>(range.cols) * size_of(dtype);
    const std::size_t source_row_bytes = range.cols * size_of(range.dtype);
    const std::int64_t tasks = (range.rows + kTaskRows - 1) / kTaskRows;
    parallel_for(tasks, [&](std::int64_t task, int) {
      const std::int64_t first = task * kTaskRows;
      const std::int64_t end = std::min(first + kTaskRows, range.rows);
      for (std::int64_t r = first; r < end; ++r) {
        std::byte* row = target + r * row_bytes;
        if (range.dtype == dtype) {
          std::memcpy(row, range.data + r * row_bytes, row_bytes);
        } else {
          for (std::int64_t c = 0; c < range.cols; ++c)
            store_from_float(row, dtype, c, read(range, r * range.cols + c));
        }
      }
      release(range.data + first * source_row_bytes, (end - first) * source_row_bytes);
    });
    target += range.rows * row_bytes;
  }
  return table;
}

// The rows of weights in memory while they are prepared.
class OpenRows {
 public:
  const WeightSource& open(const std::vector<StoredRows>& stored) {
    WeightSource& ranges = weights_.emplace_back();
    for (const StoredRows& rows : stored) {
      ranges.push_back({open(*rows.source) + rows.offset, rows.dtype, rows.rows, rows.cols});
      bytes_ += rows.bytes();
    }
    return ranges;
  }

  ReleaseBytes release() const {
    return [this](const std::byte* data, std::size_t bytes) {
      for (const auto& [source, first] : sources_)
        if (data >= first.get() && data < first.get() + source->size())
          source->release(data - first.get(), bytes);
    };
  }

  std::size_t bytes() const { return bytes_; }

 private:
  const std::byte* open(const ByteSource& source) {
    for (const auto& [known, first] : sources_)
      if (known == &source) return first.get();
    return sources_.emplace_back(&source, source.open()).second.get();
  }

  std::deque<WeightSource> weights_;  // a deque: `open` returns references
  std::vector<std::pair<const ByteSource*, std::shared_ptr<const std::byte>>> sources_;
  std::size_t bytes_ = 0;
};

// Fetches weights by canonical name, checks their shape, has them prepared, and gives their memory
// in the checkpoint back.
class Preparer {
 public:
  Preparer(DType dtype, const Backend& backend, const WeightMap& stored,
           const LoadProgress& progress)
      : dtype_(dtype), backend_(backend), stored_(stored), progress_(progress) {}

  Linear linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    return prepare([&](OpenRows& rows) {
      const WeightSource& weight = open(rows, name, out, in);
      const WeightSource& offset = bias ? open(rows, name + ".bias", out, 1) : kNoSource;
      return backend_.prepare_linear(weight, offset, dtype_, rows.release());
    });
  }

  Linear gated(const std::string& gate_name, const std::string& up_name, std::int64_t out,
               std::int64_t in) {
    return prepare([&](OpenRows& rows) {
      const WeightSource& gate = open(rows, gate_name, out, in);
      const WeightSource& up = open(rows, up_name, out, in);
      return backend_.prepare_gated(gate, kNoSource, up, kNoSource, dtype_, rows.release());
    });
  }

  Norm norm(const std::string& name, std::int64_t cols, Norm::Kind kind, float eps) {
    Norm result;
    result.kind = kind;
    result.eps = eps;
    result.weight = vector(name, cols).take_storage();
    if (kind == Norm::Kind::kLayer) result.bias = vector(name + ".bias", cols).take_storage();
    return result;
  }

  /// A float32 row of `cols` elements, stored in the checkpoint as cols rows of one.
  Matrix vector(const std::string& name, std::int64_t cols) {
    return prepare([&](OpenRows& rows) {
      const WeightSource& column = open(rows, name, cols, 1);
      return keep_on_backend(backend_,
                             copy_table(column, DType::kFloat32, 1, cols, rows.release()));
    });
  }

  Matrix table(const std::string& name, DType dtype, std::int64_t rows, std::int64_t cols) {
    return prepare([&](OpenRows& open_rows) {
      const WeightSource& source = open(open_rows, name, rows, cols);
      return keep_on_backend(backend_, copy_table(source, dtype, rows, cols, open_rows.release()));
    });
  }

  bool has(const std::string& name) const { return stored_.count(name) != 0; }

 private:
  template <class Body>
  std::invoke_result_t<Body, OpenRows&> prepare(const Body& body) {
    OpenRows rows;
    auto prepared = body(rows);
    done_ += rows.bytes();
    progress_(done_);
    return prepared;
  }

  const WeightSource& open(OpenRows& open_rows, const std::string& name, std::int64_t rows,
                           std::int64_t cols) const {
    const auto found = stored_.find(name);
    check<CheckpointError>(found != stored_.end(), "weight '", name, "' is missing: expected (",
                           rows, ", ", cols, ")");
    std::int64_t stored_rows = 0;
    for (const StoredRows& range : found->second) {
      check<CheckpointError>(range.cols == cols, "weight '", name, "': expected ", cols,
                             " columns, got ", range.cols);
      stored_rows += range.rows;
    }
    check<CheckpointError>(stored_rows == rows, "weight '", name, "': expected ", rows,
                           " rows, got ", stored_rows);
    return open_rows.open(found->second);
  }

  static inline const WeightSource kNoSource{};

  DType dtype_;
  const Backend& backend_;
  const WeightMap& stored_;
  const LoadProgress& progress_;
  std::size_t done_ = 0;
};

VisionLayerWeights prepare_vision_layer(Preparer& prepare, const VisionConfig& config,
                                        const std::string& prefix) {
  const std::int64_t width = config.hidden_size;
  VisionLayerWeights layer;
  layer.norm1 = prepare.norm(prefix + "norm1", width, config.norm_type, config.layer_norm_eps);
  layer.qkv = prepare.linear(prefix + "qkv", 3 * width, width, config.qkv_bias);
  if (config.qk_normalization) {
    layer.q_norm = prepare.norm(prefix + "q_norm", width, Norm::Kind::kRms, config.layer_norm_eps);
    layer.k_norm = prepare.norm(prefix + "k_norm", width, Norm::Kind::kRms, config.layer_norm_eps);
  }
  layer.proj = prepare.linear(prefix + "proj", width, width, true);
  layer.ls1 = prepare.vector(prefix + "ls1", width);
  layer.norm2 = prepare.norm(prefix + "norm2", width, config.norm_type, config.layer_norm_eps);
  layer.fc1 = prepare.linear(prefix + "fc1", config.intermediate_size, width, true);
  layer.fc2 = prepare.linear(prefix + "fc2", width, config.intermediate_size, true);
  layer.ls2 = prepare.vector(prefix + "ls2", width);
  return layer;
}

VisionWeights prepare_vision(Preparer& prepare, const VisionConfig& config) {
  const std::int64_t width = config.hidden_size;
  const std::int64_t side = config.image_size / config.patch_size;
  VisionWeights vision;
  vision.patch_embedding =
      prepare.linear("vision.patch_embedding", width,
                     config.num_channels * config.patch_size * config.patch_size, true);
  vision.class_embedding = prepare.vector("vision.class_embedding", width);
  vision.position_embedding =
      prepare.table("vision.position_embedding", DType::kFloat32, 1 + side * side, width);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
    vision.layers.push_back(
        prepare_vision_layer(prepare, config, message("vision.layers.", i, ".")));
  return vision;
}

ProjectorWeights prepare_projector(Preparer& prepare, const InternVLConfig& config) {
  const std::int64_t in =
      config.vision.hidden_size * config.downsample_factor * config.downsample_factor;
  const std::int64_t out = config.decoder.hidden_size;
  ProjectorWeights projector;
  projector.norm = prepare.norm("projector.norm", in, Norm::Kind::kLayer, 1e-5f);
  projector.linear1 = prepare.linear("projector.linear1", out, in, true);
  projector.linear2 = prepare.linear("projector.linear2", out, out, true);
  return projector;
}

DecoderLayerWeights prepare_decoder_layer(Preparer& prepare, const DecoderConfig& config,
                                          const std::string& prefix) {
  const std::int64_t width = config.hidden_size;
  const std::int64_t heads = config.num_attention_heads * config.head_dim();
  const std::int64_t kv_heads = config.num_key_value_heads * config.head_dim();
  const auto rms = Norm::Kind::kRms;
  DecoderLayerWeights layer;
  layer.attention_norm = prepare.norm(prefix + "attention_norm", width, rms, config.rms_norm_eps);
  layer.qkv =
      prepare.linear(prefix + "qkv", heads + 2 * kv_heads, width, prepare.has(prefix + "qkv.bias"));
  layer.wo = prepare.linear(prefix + "wo", width, heads, prepare.has(prefix + "wo.bias"));
  layer.ffn_norm = prepare.norm(prefix + "ffn_norm", width, rms, config.rms_norm_eps);
  layer.gate_up = prepare.gated(prefix + "gate", prefix + "up", config.intermediate_size, width);
  layer.down = prepare.linear(prefix + "down", width, config.intermediate_size, false);
  return layer;
}

DecoderWeights prepare_decoder(Preparer& prepare, const DecoderConfig& config, DType dtype) {
  DecoderWeights decoder;
  decoder.tok_embeddings =
      prepare.table("decoder.tok_embeddings", dtype, config.vocab_size, config.hidden_size);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
    decoder.layers.push_back(
        prepare_decoder_layer(prepare, config, message("decoder.layers.", i, ".")));
  decoder.norm =
      prepare.norm("decoder.norm", config.hidden_size, Norm::Kind::kRms, config.rms_norm_eps);
  decoder.output = prepare.linear("decoder.output", config.vocab_size, config.hidden_size, false);
  return decoder;
}

}  // namespace

InternVLWeights prepare_weights(const InternVLConfig& config, DType dtype, const Backend& backend,
                                const WeightMap& stored, const LoadProgress& progress) {
  Preparer prepare(dtype, backend, stored, progress);
  InternVLWeights weights;
  weights.vision = prepare_vision(prepare, config.vision);
  if (config.decoder.num_hidden_layers == 0) return weights;  // a vision tower alone
  weights.projector = prepare_projector(prepare, config);
  weights.decoder = prepare_decoder(prepare, config.decoder, dtype);
  return weights;
}

}  // namespace internvl
