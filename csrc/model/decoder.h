// The language model's decoder: InternLM2, and Llama, which differs in tensor names only.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "core/observer.h"
#include "model/config.h"
#include "model/weights.h"

namespace internvl {

/// Rows of one pass: tokens of any number of sequences, each sequence's rows in one piece.
struct DecoderBatch {
  std::vector<std::int32_t> positions;  ///< of each row
  std::vector<Segment> segments;        ///< which rows belong to which sequence's cache
  std::int64_t sequence_length = 0;     ///< see rope_table()
};

/// What a pass computes in, and what it reads beside the weights. Passes over the same number of
/// rows may share one.
struct DecoderPass {
  Matrix normed;   // (rows, L), as the next three of the activation dtype
  Matrix qkv;      // (rows, (heads + 2 kv_heads) * head_dim)
  Matrix context;  // (rows, heads * head_dim)
  Matrix gated;    // (rows, I)
  Matrix rope;     // (rows, head_dim) float32, see rope_table()
  Segments segments;
};

class Decoder {
 public:
  Decoder(const DecoderConfig& config, const DecoderWeights& weights, const Backend& backend,
          DType activation)
      : config_(config), weights_(weights), backend_(backend), activation_(activation) {}

  KvShape kv_shape() const;

  /// hidden (rows, L) float32 = embeddings of ids. Throws InvalidArgument for an id outside the
  /// vocabulary.
  void embed(Tensor hidden, const std::vector<std::int32_t>& ids) const;

  DecoderPass make_pass(std::int64_t rows) const;

  /// Says which rows the pass computes next.
  void set_batch(DecoderPass& pass, DecoderBatch batch) const;

  /// hidden (rows, L) float32, embeddings in, output of the last layer (before the norm) out.
  /// The observer sees "llm.inputs_embeds", "llm.layer1", ..., and "llm.norm".
  void forward(Tensor hidden, const DecoderPass& pass, const Observer& observer,
               const CheckInterrupt& check_interrupt) const;

  /// out = the final norm of hidden, the output of forward(); out may be hidden.
  void norm(Tensor out, Tensor hidden) const;

  /// logits (rows, vocab) float32 = the output embeddings applied to normed (rows, L) float32.
  void output(Tensor logits, Tensor normed) const;

  /// logits (rows, vocab) float32 of the rows of hidden: norm() and output(). `normed` (rows, L),
  /// of the activation dtype, is what it computes in.
  void logits(Tensor logits, Tensor hidden, Tensor normed) const;

  DType activation_dtype() const { return activation_; }

 private:
  const DecoderConfig& config_;
  const DecoderWeights& weights_;
  const Backend& backend_;
  DType activation_;
};

}  // namespace internvl
