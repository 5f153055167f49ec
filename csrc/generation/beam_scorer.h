// The finished hypotheses of beam search and which beams go on. Reference: BeamSearchScorer and
// BeamHypotheses of transformers 4.37.2.
#pragma once

#include <cstdint>
#include <vector>

#include "generation/generate.h"

namespace internvl {

/// A sequence and how it came about.
struct Beam {
  Sequence tokens;
  Sequence indices;   ///< the beam that each generated token came from; only for output_scores
  Logprobs logprobs;  ///< of each generated token; only for output_logprobs
};

/// A token that may follow one of a prompt's beams.
struct BeamCandidate {
  float score;  ///< of the beam with the token
  std::int32_t beam;
  std::int64_t token;
  float logprob;  ///< of the token in the model's own distribution; only for output_logprobs
};
using BeamCandidates = std::vector<BeamCandidate>;

/// The best `capacity` finished sequences of a prompt (or of one of its groups).
class BeamHypotheses {
 public:
  struct Hypothesis {
    double score;  ///< sum of log-probabilities / length ** length_penalty
    Beam beam;
  };

  BeamHypotheses(std::int64_t capacity, const GenerationConfig& config)
      : capacity_(capacity), config_(config) {}

  /// `length` counts generated tokens, a closing eos included.
  void add(Beam beam, float sum_logprobs, std::int64_t length);

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
  Logprobs logprobs;                  ///< of the tokens; only for output_logprobs
};

class BeamScorer {
 public:
  BeamScorer(const GenerationConfig& config, std::int64_t prompts);

  /// Chooses a group's next beams. `beams`: the group's rows, group_size for each prompt.
  /// `candidates`: best first for each prompt.
  NextBeams process(std::int64_t group, const std::vector<Beam>& beams,
                    const std::vector<BeamCandidates>& candidates, std::int64_t vocab_size);

  /// Whether a prompt has its best sequences; process() does not read its candidates then.
  bool is_done(std::int64_t group, std::int64_t prompt) const {
    return done_[prompt * groups_ + group];
  }

  bool all_done() const;

  /// Adds the running beams and puts the best sequences of each prompt into the output.
  void finalize(const std::vector<Beam>& beams, const std::vector<float>& beam_scores,
                GenerationOutput& output);

 private:
  const GenerationConfig& config_;
  std::int64_t prompts_;
  std::int64_t groups_;
  std::int64_t group_size_;
  std::vector<BeamHypotheses> hypotheses_;  ///< [prompt * groups + group]
  std::vector<bool> done_;
};

}  // namespace internvl
