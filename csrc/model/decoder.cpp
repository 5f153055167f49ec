#include "model/decoder.h"

#include <utility>

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
  backend_.gather_rows(hidden, weights_.tok_embeddings, ids);
}

DecoderPass Decoder::make_pass(std::int64_t rows) const {
  const std::int64_t query_cols = config_.num_attention_heads * config_.head_dim();
  const std::int64_t kv_cols = config_.num_key_value_heads * config_.head_dim();
  DecoderPass pass;
  pass.normed = backend_.matrix(activation_, rows, config_.hidden_size);
  pass.qkv = backend_.matrix(activation_, rows, query_cols + 2 * kv_cols);
  pass.context = backend_.matrix(activation_, rows, query_cols);
  pass.gated = backend_.matrix(activation_, rows, config_.intermediate_size);
  pass.rope = backend_.matrix(DType::kFloat32, rows, config_.head_dim());
  return pass;
}

void Decoder::set_batch(DecoderPass& pass, DecoderBatch batch) const {
  backend_.copy(pass.rope, rope_table(batch.positions, batch.sequence_length, config_));
  pass.segments.list = std::move(batch.segments);
  backend_.prepare_segments(pass.segments);
}

void Decoder::forward(Tensor hidden, const DecoderPass& pass, const Observer& observer,
                      const CheckInterrupt& check_interrupt) const {
  const std::int64_t heads = config_.num_attention_heads;
  const KvShape shape = kv_shape();
  if (observer) observer("llm.inputs_embeds", hidden);
  backend_.norm(pass.normed, hidden, weights_.layers.front().attention_norm);
  for (std::int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    check_interrupt();
    const DecoderLayerWeights& layer = weights_.layers[i];
    const bool is_last = i + 1 == config_.num_hidden_layers;
    const Norm* next = is_last ? nullptr : &weights_.layers[i + 1].attention_norm;
    backend_.linear(pass.qkv, pass.normed, layer.qkv);
    backend_.rope_store_kv(pass.qkv, pass.rope, shape, heads, i, pass.segments);
    backend_.attention_cached(pass.context, pass.qkv, shape, heads, i, pass.segments);
    backend_.linear_add(hidden, pass.context, layer.wo, {}, {pass.normed, &layer.ffn_norm});

    backend_.linear_gated(pass.gated, pass.normed, layer.gate_up, config_.hidden_act);
    backend_.linear_add(hidden, pass.gated, layer.down, {}, {pass.normed, next});
    if (observer) observer(message("llm.layer", i + 1), hidden);
  }
  if (observer) {
    const Matrix normed = backend_.matrix(DType::kFloat32, hidden.rows, hidden.cols);
    norm(normed, hidden);
    observer("llm.norm", normed);
  }
}

void Decoder::norm(Tensor out, Tensor hidden) const { backend_.norm(out, hidden, weights_.norm); }

void Decoder::output(Tensor logits, Tensor normed) const {
  const Matrix input = backend_.matrix(activation_, normed.rows, normed.cols);
  backend_.copy(input, normed);
  backend_.linear(logits, input, weights_.output);
}

void Decoder::logits(Tensor logits, Tensor hidden, Tensor normed) const {
  norm(normed, hidden);
  backend_.linear(logits, normed, weights_.output);
}

}  // namespace internvl
