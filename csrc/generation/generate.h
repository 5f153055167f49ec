// The generation loop: greedy and sampling, (diverse) beam search, contrastive search.
#pragma once

#include <functional>

#include "generation/generation_config.h"
#include "generation/logits_processors.h"
#include "generation/scores.h"
#include "generation/sequence_model.h"

namespace internvl {

/// What the loop calls on the way; empty functions are not called. An exception ends the loop.
struct GenerationHooks {
  CustomProcessors processors;
  /// The tokens of one step, one a row.
  std::function<void(const Sequence& tokens)> put;
  /// Asked after each step, with the scores of all steps so far (empty unless output_scores).
  std::function<bool(const Sequences& sequences, const std::vector<Scores>& scores)> should_stop;
  /// Called once a step, to throw when the user wants out.
  std::function<void()> poll;
};

struct GenerationOutput {
  Sequences sequences;         ///< of equal length, the first token included
  std::vector<Scores> scores;  ///< a step each, after processors (and warpers)
  std::vector<Scores> logits;  ///< a step each, as the model returned them
  std::vector<HiddenStates> hidden_states;
  std::vector<Logprobs> logprobs;       ///< of each of `sequences`, for its generated tokens
  std::vector<float> sequences_scores;  ///< beam search
  Sequences beam_indices;               ///< beam search with scores: -1 where there is none
};

/// Runs a model that has its prompts and has not been prefilled. The reference for every search is
/// transformers 4.37.2, called on embeddings.
GenerationOutput generate(SequenceModel& model, const GenerationConfig& config,
                          const GenerationHooks& hooks);

}  // namespace internvl
