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

/// The parents (SequenceModel::reorder) of `copies` rows for each of `rows`, side by side.
inline std::vector<std::int32_t> parents_of_copies(std::int64_t rows, std::int64_t copies) {
  std::vector<std::int32_t> parents;
  for (std::int64_t r = 0; r < rows * copies; ++r)
    parents.push_back(static_cast<std::int32_t>(r / copies));
  return parents;
}

class SequenceModel {
 public:
  enum class KeepHidden : std::uint8_t { kNone, kLast, kAll };

  virtual ~SequenceModel() = default;

  virtual std::int64_t vocab_size() const = 0;

  /// Number of sequences now.
  virtual std::int64_t batch_size() const = 0;

  /// The tokens of a prompt, as far as they are known: what prompt lookup reads.
  virtual std::vector<std::int64_t> prompt(std::int64_t /*row*/) const { return {}; }

  /// Which hidden states prefill() and step() leave in hidden_states(): of the prompts without
  /// copies, and of the rows. Call before prefill().
  virtual void keep_hidden_states(KeepHidden keep) = 0;
  virtual const HiddenStates& hidden_states() const = 0;

  /// Runs the prompts, once; their logits are those of the last position. Then each prompt becomes
  /// `copies` rows, side by side.
  virtual void prefill(std::int64_t copies) = 0;

  /// Row r continues what was row parents[r]; the batch becomes parents.size() rows, whose logits
  /// come with the next step.
  virtual void reorder(const std::vector<std::int32_t>& parents) = 0;

  /// Appends tokens[r] to row r.
  virtual void step(const std::int32_t* tokens) = 0;

  /// logits (batch_size, vocab_size), float32, of the last positions.
  virtual void read_logits(float* logits) = 0;

  /// Whether choose() follows this rule. Models that need not have it follow none.
  virtual bool can_choose(const TokenRule& /*rule*/) const { return false; }

  /// Makes what choose() reads ready, before prefill() or step() computes the logits.
  virtual void prepare_choice(TokenInputs& /*inputs*/) {
    throw InternalError("prepare_choice: this model hands out logits");
  }

  /// The tokens that follow; the logits stay where they were computed.
  virtual TokenChoice choose(const TokenRule& /*rule*/, const TokenInputs& /*inputs*/) {
    throw InternalError("choose: this model hands out logits");
  }

  /// How many tokens extend() takes now; a model of which this is always 1 needs neither extend()
  /// nor crop().
  virtual std::int64_t max_extension() const { return 1; }

  /// Appends `count` tokens to the only row. read_logits() has those of all of them then, (count,
  /// vocab_size), bit for bit those of as many steps.
  virtual void extend(const std::int32_t* /*tokens*/, std::int64_t /*count*/) {
    throw InternalError("extend: this model takes single steps");
  }

  /// Forgets the last `count` tokens that were appended to the only row.
  virtual void crop(std::int64_t /*count*/) {
    throw InternalError("crop: this model takes single steps");
  }
};

}  // namespace internvl
