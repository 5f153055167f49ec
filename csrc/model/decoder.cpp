#include "model/decoder.h"

#include "core/error.h"
#include "model/rope.h"

namespace internvl {

KvShape Decoder::kv_shape() const {
  return {config_.num_hidden_layers, config_.num_key_value_heads, config_.head_dim(), activation_};
}

void Decoder::embed(Tensor hidden, const std::vector<std::int32_t>& ids) const {
  for (const std::int32_t id : ids)
    check(id >= 0 && id < config_.vocab_size, "input_ids: expected ids in [0, ", config_.vocab_size,
          "), got ", id);
  backend_.embed(hidden, weights_.tok_embeddings.tensor, ids.data());
}

void Decoder::forward(Tensor hidden, const DecoderBatch& batch, const Observer& observer,
                      const CheckInterrupt& check_interrupt) const {
  const std::int64_t rows = hidden.rows;
  const std::int64_t width = config_.hidden_size;
  const std::int64_t heads = config_.num_attention_heads;
  const std::int64_t query_cols = heads * config_.head_dim();
  const std::int64_t qkv_cols = query_cols + 2 * config_.num_key_value_heads * config_.head_dim();
  const KvShape shape = kv_shape();
  const auto workspace = [&](std::int64_t cols) {
    return backend_.allocate(static_cast<std::size_t>(rows * cols) * size_of(activation_));
  };
  const Buffer normed_storage = workspace(width);
  const Buffer qkv_storage = workspace(qkv_cols);
  const Buffer context_storage = workspace(query_cols);
  const Buffer gated_storage = workspace(config_.intermediate_size);
  const Tensor normed = matrix(normed_storage.data(), activation_, rows, width);
  const Tensor qkv = matrix(qkv_storage.data(), activation_, rows, qkv_cols);
  const Tensor context = matrix(context_storage.data(), activation_, rows, query_cols);
  const Tensor gated = matrix(gated_storage.data(), activation_, rows, config_.intermediate_size);

  const Buffer rope_storage = backend_.allocate(rows * config_.head_dim() * sizeof(float));
  const Tensor rope = matrix(rope_storage.data(), DType::kFloat32, rows, config_.head_dim());
  fill_rope_table(rope, batch.positions, batch.sequence_length, config_);

  if (observer) observer("llm.inputs_embeds", hidden);
  for (std::int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    check_interrupt();
    const DecoderLayerWeights& layer = weights_.layers[i];
    backend_.norm(normed, hidden, layer.attention_norm);
    backend_.linear(qkv, normed, layer.qkv);
    backend_.rope_store_kv(qkv, rope, shape, heads, i, batch.segments);
    backend_.attention_cached(context, qkv, shape, heads, i, batch.segments);
    backend_.linear_add(hidden, context, layer.wo, nullptr);

    backend_.norm(normed, hidden, layer.ffn_norm);
    backend_.linear_gated(gated, normed, layer.gate_up, config_.hidden_act);
    backend_.linear_add(hidden, gated, layer.down, nullptr);
    if (observer) observer(message("llm.layer", i + 1), hidden);
  }
  if (observer) {
    const Buffer norm_storage = backend_.allocate(rows * width * sizeof(float));
    const Tensor normed_float = matrix(norm_storage.data(), DType::kFloat32, rows, width);
    norm(normed_float, hidden);
    observer("llm.norm", normed_float);
  }
}

void Decoder::norm(Tensor out, Tensor hidden) const { backend_.norm(out, hidden, weights_.norm); }

void Decoder::output(Tensor logits, Tensor normed) const {
  const Buffer storage = backend_.allocate(normed.rows * normed.cols * size_of(activation_));
  const Tensor input = matrix(storage.data(), activation_, normed.rows, normed.cols);
  backend_.copy(input, normed);
  backend_.linear(logits, input, weights_.output);
}

void Decoder::logits(Tensor logits, Tensor hidden) const {
  const Buffer storage = backend_.allocate(hidden.rows * hidden.cols * size_of(activation_));
  const Tensor normed = matrix(storage.data(), activation_, hidden.rows, hidden.cols);
  norm(normed, hidden);
  backend_.linear(logits, normed, weights_.output);
}

}  // namespace internvl
