// What the generation loop asks of a model: logits for a batch of sequences that grow by a token
// a step. The loop knows nothing of images, caches and padding.
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/token_choice.h"

namespace internvl {

/// Hidden states of one prefill or step: (layers, batch, tokens, hidden), float32. Layer 0 is the
/// embeddings, the last one the output of the final norm.
struct HiddenStates {
  std::int64_t layers = 0;
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::int64_t hidden_size = 0;
  std::vector<float> values;
};

class SequenceModel {
 public:
  enum class KeepHidden : std::uint8_t { kNone, kLast, kAll };

  virtual ~SequenceModel() = default;

  virtual std::int64_t vocab_size() const = 0;

  /// Number of sequences now.
  virtual std::int64_t batch_size() const = 0;

  /// The tokens of a prompt, as far as they are known: what prompt lookup reads.
  virtual std::vector<std::int64_t> prompt(std::int64_t /*row*/) const { return {}; }

  /// Which hidden states prefill() and step() leave in hidden_states(). Call before prefill().
  virtual void keep_hidden_states(KeepHidden keep) = 0;
  virtual const HiddenStates& hidden_states() const = 0;

  /// Runs the prompts, once. logits (batch_size, vocab_size), float32: those of the last position.
  virtual void prefill(float* logits) = 0;

  /// Row r continues what was row parents[r]; the batch becomes parents.size() rows.
  virtual void reorder(const std::vector<std::int32_t>& parents) = 0;

  /// Appends tokens[r] to row r; logits (batch_size, vocab_size) of the new positions.
  virtual void step(const std::int32_t* tokens, float* logits) = 0;

  /// Whether choose_step() follows this rule. Models that need not have it follow none.
  virtual bool can_choose(const TokenRule& /*rule*/) const { return false; }

  /// step() of which only the tokens are wanted that follow: the logits stay where they were
  /// computed.
  virtual TokenChoice choose_step(const std::int32_t* /*tokens*/, const TokenRule& /*rule*/,
                                  TokenInputs /*inputs*/) {
    throw InternalError("choose_step: this model hands out logits");
  }

  /// How many tokens extend() takes now; a model of which this is always 1 needs neither extend()
  /// nor crop().
  virtual std::int64_t max_extension() const { return 1; }

  /// Appends `count` tokens to the only row; logits (count, vocab_size), bit for bit those of as
  /// many steps.
  virtual void extend(const std::int32_t* /*tokens*/, std::int64_t /*count*/, float* /*logits*/) {
    throw InternalError("extend: this model takes single steps");
  }

  /// Forgets the last `count` tokens that were appended to the only row.
  virtual void crop(std::int64_t /*count*/) {
    throw InternalError("crop: this model takes single steps");
  }
};

}  // namespace internvl
