// A batch of prompts with image features, growing token by token: the engine behind generate().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "generation/sequence_model.h"
#include "model/internvl.h"
#include "model/kv_cache.h"

namespace internvl {

/// Prompts of one generate() call, as the tokenizer pads them.
struct Prompts {
  std::int64_t batch = 0;
  std::int64_t length = 0;                   ///< padding included
  std::vector<std::int32_t> ids;             ///< (batch, length)
  std::vector<std::uint8_t> attention_mask;  ///< (batch, length)
};

/// Rows that replace the embeddings of image_token_id, in order over the whole batch.
struct ImageRows {
  std::int32_t image_token_id = -1;
  std::int64_t rows = 0;
  std::vector<float> features;  ///< (rows, L); empty for a text-only batch
};

/// Masked tokens are left out of the computation instead of being masked: a sample's result does
/// not depend on its padding. Two oddities of the reference are kept: the logits of a row whose
/// last token is masked are those of that token at position 1, and a row that is masked altogether
/// attends uniformly over its tokens, all at position 1.
class ChatSession : public SequenceModel {
 public:
  /// Throws InvalidArgument where the image rows are not as many as the image tokens.
  ChatSession(std::shared_ptr<const InternVL> model, Prompts prompts, ImageRows images,
              CheckInterrupt check_interrupt, Observer observer = {});

  std::int64_t vocab_size() const override { return model_->config().decoder.vocab_size; }
  std::int64_t batch_size() const override { return static_cast<std::int64_t>(rows_.size()); }
  void keep_hidden_states(KeepHidden keep) override { keep_ = keep; }
  const HiddenStates& hidden_states() const override { return hidden_states_; }
  void prefill(float* logits) override;
  void reorder(const std::vector<std::int32_t>& parents) override;
  void step(const std::int32_t* tokens, float* logits) override;

 private:
  struct Row {
    KvCache cache;
    std::int32_t next_position = 0;
  };

  // One token of the prompts that takes part in the computation.
  struct PromptToken {
    std::int64_t row;     // of the batch
    std::int64_t column;  // in the padded prompt
    std::int32_t id;
    std::int32_t position;
    std::int64_t image_row;  // -1: not an image token
    bool stores;
    bool last;  // its logits are the row's
  };

  std::vector<PromptToken> plan_prompt();
  void prefill_chunk(const PromptToken* tokens, std::int64_t count, float* last_hidden);
  /// Makes room for those of one pass; padding stays zero.
  void clear_hidden_states(std::int64_t batch, std::int64_t tokens);
  Observer hidden_states_observer(std::vector<std::int64_t> slots);

  std::shared_ptr<const InternVL> model_;
  Prompts prompts_;
  ImageRows images_;
  CheckInterrupt check_interrupt_;
  Observer observer_;
  std::vector<Row> rows_;
  std::vector<bool> uniform_;     // rows masked altogether
  std::int64_t sequence_length_;  // padding included
  KeepHidden keep_ = KeepHidden::kNone;
  HiddenStates hidden_states_;
};

}  // namespace internvl
