// The finished hypotheses of beam search and which beams go on. Reference: BeamSearchScorer and
// BeamHypotheses of transformers 4.37.2.
#pragma once

#include <cstdint>
#include <vector>

#include "generation/generate.h"

namespace internvl {

/// The best `capacity` finished sequences of a prompt (or of one of its groups).
class BeamHypotheses {
 public:
  struct Hypothesis {
    double score;  ///< sum of log-probabilities / length ** length_penalty
    Sequence tokens;
    Sequence beam_indices;
  };

  BeamHypotheses(std::int64_t capacity, const GenerationConfig& config)
      : capacity_(capacity), config_(config) {}

  /// `length` counts generated tokens, a closing eos included.
  void add(Sequence tokens, float sum_logprobs, std::int64_t length, Sequence beam_indices);

  /// Whether no running beam, the best of which has this sum, can still get in.
  bool is_done(float best_sum_logprobs, std::int64_t length) const;

  const std::vector<Hypothesis>& hypotheses() const { return hypotheses_; }

 private:
  double normalized(double sum_logprobs, std::int64_t length) const;

  std::int64_t capacity_;
  const GenerationConfig& config_;
  std::vector<Hypothesis> hypotheses_;
  double worst_score_ = 1e9;
};

/// The beams of one group (all prompts) after a step.
struct NextBeams {
  std::vector<float> scores;
  Sequence tokens;
  std::vector<std::int32_t> parents;  ///< rows of the group
};

class BeamScorer {
 public:
  BeamScorer(const GenerationConfig& config, std::int64_t prompts);

  /// Chooses a group's next beams. `sequences`: the group's rows, group_size for each prompt.
  /// `candidates`: best first for each prompt, index = beam * vocab_size + token.
  /// `beam_indices`: the history of each row so far; empty if not asked for.
  NextBeams process(std::int64_t group, const Sequences& sequences,
                    const std::vector<std::vector<Candidate>>& candidates, std::int64_t vocab_size,
                    const Sequences& beam_indices);

  bool all_done() const;

  /// Adds the running beams and puts the best sequences of each prompt into the output.
  void finalize(const Sequences& sequences, const std::vector<float>& beam_scores,
                const Sequences& beam_indices, GenerationOutput& output);

 private:
  const GenerationConfig& config_;
  std::int64_t prompts_;
  std::int64_t groups_;
  std::int64_t group_size_;
  std::vector<BeamHypotheses> hypotheses_;  ///< [prompt * groups + group]
  std::vector<bool> done_;
};

}  // namespace internvl
