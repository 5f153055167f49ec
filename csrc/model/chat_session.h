// A batch of prompts, growing token by token: what runs the decoder for forward() and generate().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/activations.h"
#include "generation/sequence_model.h"
#include "model/internvl.h"
#include "model/kv_cache.h"

namespace internvl {

/// The tokens of a batch, padded to one length. All matrices are (batch, length).
struct Prompts {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> embedding_rows;  ///< row of `embeddings` that stands for the id, or -1
  std::vector<std::uint8_t> attention_mask;  ///< 0: padding
  std::vector<std::int32_t> position_ids;
  Matrix embeddings;  ///< (any, L) float32 of the backend: image features, or the caller's
};

/// What a batch has stored. Copies share memory until they differ.
struct BatchCache {
  std::int64_t length = 0;    ///< tokens of a sequence, masked ones included
  std::vector<KvCache> rows;  ///< of each sequence: its tokens that are not masked
};

/// Masked tokens are left out of the computation instead of being masked: a sample's result does
/// not depend on its padding. Where the result of a masked token itself is asked for, it is the
/// reference's: the token sees those before it that are not masked, and where there are none,
/// adding the lowest float to its scores makes it attend uniformly over the masked tokens up to
/// itself and all that are not masked (InternLM2, eager attention).
class ChatSession : public SequenceModel {
 public:
  /// Continues `past` (of this model and batch size), or starts afresh without rows in it.
  ChatSession(std::shared_ptr<const InternVL> model, Prompts prompts, BatchCache past,
              Recorders recorders, CheckInterrupt check_interrupt);

  std::int64_t vocab_size() const override { return model_->config().decoder.vocab_size; }
  std::int64_t batch_size() const override { return static_cast<std::int64_t>(cache_.rows.size()); }
  std::vector<std::int64_t> prompt(std::int64_t row) const override;
  void keep_hidden_states(KeepHidden keep) override { keep_ = keep; }
  const HiddenStates& hidden_states() const override { return hidden_states_; }
  void prefill(std::int64_t copies) override;
  void reorder(const std::vector<std::int32_t>& parents) override;
  void step(const std::int32_t* tokens) override { extend(tokens, 1); }
  void read_logits(float* logits) override;
  bool can_choose(const TokenRule& rule) const override;
  void prepare_choice(TokenInputs& inputs) override;
  TokenChoice choose(const TokenRule& rule, const TokenInputs& inputs) override;
  std::int64_t max_extension() const override;
  void extend(const std::int32_t* tokens, std::int64_t count) override;
  void crop(std::int64_t count) override;

  /// `stored` has the first tokens of a prompt that are not masked, stored by this model at their
  /// positions; the pass over the prompt leaves these out. Before prefill(), for sessions that
  /// neither continue a cache nor record.
  void reuse(std::int64_t row, KvCache stored);

  /// Runs the prompts, once. hidden (batch * positions, L) float32 of the backend: the last layer's
  /// output, before the norm, of the last `positions` tokens of each prompt.
  void forward(Tensor hidden, std::int64_t positions);

  const BatchCache& cache() const { return cache_; }
  /// Tokens behind a row's prompt, as far as they were fed to the model.
  const std::vector<std::int32_t>& appended(std::int64_t row) const { return appended_.at(row); }
  /// Passes through the decoder after the prompts'.
  std::int64_t passes() const { return passes_; }
  const Prompts& prompts() const { return prompts_; }
  const InternVL& model() const { return *model_; }
  const std::shared_ptr<const InternVL>& shared_model() const { return model_; }

 private:
  // One token of the prompts that takes part in the computation.
  struct Token {
    std::int64_t row;  // of the batch
    std::int64_t column;
    bool stores;
  };

  // Tokens that see others, and those that see none, which come after them.
  struct Plan {
    std::vector<Token> seeing;
    std::vector<Token> blind;
  };

  // What passes of as many rows share, and the logits that the last one left.
  struct Step {
    DecoderPass pass;
    Matrix hidden;  // (rows, L) float32
    Matrix logits;  // (rows, vocab) float32
    Recording recording;
  };

  Plan plan(std::int64_t positions) const;
  /// Makes step_ one of as many rows.
  void prepare_step(std::int64_t rows);
  /// Runs tokens in passes of bounded size; the last `positions` of each prompt go to `hidden`.
  void run(const std::vector<Token>& tokens, std::vector<KvCache>& caches, float scale,
           Tensor hidden, std::int64_t positions);
  void run_pass(const Token* tokens, Tensor hidden, std::vector<KvCache>& caches, float scale);
  /// Makes room for those of one pass; padding stays zero.
  void clear_hidden_states(std::int64_t batch, std::int64_t tokens);
  /// slots[r]: place of row r in (batch, tokens) of the hidden states; sequences[r]: see
  /// Activations::append().
  Observer observer(std::vector<std::int64_t> slots, std::vector<std::int64_t> sequences);
  /// The layer of hidden_states_ that an activation is, -1 if it is none of those to be kept.
  std::int64_t kept_layer(const std::string& name) const;
  void keep_layer(std::int64_t layer, Tensor value, const std::vector<std::int64_t>& slots);

  std::shared_ptr<const InternVL> model_;
  Prompts prompts_;
  BatchCache cache_;
  std::vector<std::int64_t> reused_;  // tokens of each prompt that reuse() brought
  std::vector<std::vector<std::int32_t>> appended_;
  std::int64_t passes_ = 0;
  Recorders recorders_;
  CheckInterrupt check_interrupt_;
  KeepHidden keep_ = KeepHidden::kNone;
  HiddenStates hidden_states_;
  Step step_;
};

}  // namespace internvl
