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
  std::int64_t sequence_length = 0;     ///< see fill_rope_table()
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

  /// hidden (rows, L) float32, embeddings in, output of the last layer (before the norm) out.
  /// The observer sees "llm.inputs_embeds", "llm.layer1", ..., and "llm.norm".
  void forward(Tensor hidden, const DecoderBatch& batch, const Observer& observer,
               const CheckInterrupt& check_interrupt) const;

  /// out = the final norm of hidden, the output of forward(); out may be hidden.
  void norm(Tensor out, Tensor hidden) const;

  /// logits (rows, vocab) float32 = the output embeddings applied to normed (rows, L) float32.
  void output(Tensor logits, Tensor normed) const;

  /// logits (rows, vocab) float32 of the rows of hidden: norm() and output().
  void logits(Tensor logits, Tensor hidden) const;

 private:
  const DecoderConfig& config_;
  const DecoderWeights& weights_;
  const Backend& backend_;
  DType activation_;
};

}  // namespace internvl
