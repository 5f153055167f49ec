// Prompt lookup (Saxena, 2023): text often repeats what was said before, so the tokens that once
// followed the last ones are run together with them.
#pragma once

#include "generation/generation_config.h"
#include "generation/scores.h"
#include "generation/sequence_model.h"

namespace internvl {

/// A model of one row that runs ahead: a step whose token was a candidate costs nothing, since the
/// logits after it are there already. They are those of single steps, bit for bit, and no search
/// can tell the difference. Reference: PromptLookupCandidateGenerator of transformers 4.37.2, which
/// sees the new tokens only where the prompt is embeddings.
class PromptLookup : public SequenceModel {
 public:
  PromptLookup(SequenceModel& model, const GenerationConfig& config)
      : model_(model), config_(config) {}

  std::int64_t vocab_size() const override { return model_.vocab_size(); }
  std::int64_t batch_size() const override { return model_.batch_size(); }
  void keep_hidden_states(KeepHidden keep) override { model_.keep_hidden_states(keep); }
  const HiddenStates& hidden_states() const override { return model_.hidden_states(); }
  /// Throws InvalidArgument for several prompts.
  void prefill(std::int64_t copies) override;
  /// Throws InvalidArgument: there is one row.
  void reorder(const std::vector<std::int32_t>& parents) override;
  void step(const std::int32_t* tokens) override;
  void read_logits(float* logits) override;

  /// Takes those that no step has asked for out of the model.
  void drop_candidates();

 private:
  /// Makes those of the model's last pass, of `rows` tokens, the ones ahead.
  void read_ahead(std::int64_t rows);
  /// What followed the last tokens where they came first, the longest match that there is.
  Sequence candidates() const;

  SequenceModel& model_;
  const GenerationConfig& config_;
  Sequence text_;             // the prompt, and the tokens of all steps
  std::int64_t steps_ = 0;    // tokens of text_ that came from steps
  Sequence candidates_;       // in the model behind text_
  std::size_t accepted_ = 0;  // candidates that steps have asked for since
  Scores ahead_;              // row i: after i candidates
};

}  // namespace internvl
