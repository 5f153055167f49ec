// How a step's tokens are chosen without handing the scores out: what the generation loop asks of
// a model, and the model of its backend.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"

namespace internvl {

/// Those processors and warpers of csrc/generation that a backend may have, in their order, and
/// then the first of the largest scores, a draw, or the best candidates of beams. The scores of
/// beams are log-probabilities before any processor.
struct TokenRule {
  float repetition_penalty = 1.0f;
  std::int64_t no_repeat_ngram_size = 0;  ///< 0: none
  bool suppresses = false;                ///< steps may have TokenInputs::suppressed
  bool do_sample = false;
  float temperature = 1.0f;  ///< this and what follows is of draws
  std::int64_t top_k = 0;    ///< 0: all
  double top_p = 1.0;
  std::int64_t min_tokens_to_keep = 1;
  bool logprobs = false;        ///< log-probabilities of the tokens, in the scores as they come
  std::int64_t beams = 1;       ///< rows of a prompt, side by side; candidates if there are several
  std::int64_t candidates = 0;  ///< of a prompt; all if there are fewer

  bool reads_sequences() const { return repetition_penalty != 1.0f || no_repeat_ngram_size > 0; }
  bool has_candidates() const { return beams > 1; }
  bool changes_scores() const { return reads_sequences() || suppresses || has_candidates(); }
  bool is_argmax() const { return !changes_scores() && !do_sample && !logprobs; }
};

/// What a rule reads in one step, and the same as the backend's operations read it. Only that
/// backend knows the layout of `table`.
struct TokenInputs {
  std::vector<std::vector<std::int64_t>> sequences;  ///< of equal length; none unless they are read
  std::vector<std::int32_t> suppressed;              ///< different tokens, impossible in all rows
  std::vector<double> uniforms;                      ///< in [0, 1), one a row; none without draws
  std::vector<float> beam_scores;                    ///< one a row; none without candidates
  Buffer table;                                      ///< filled by Backend::prepare_choice()
};

/// Tokens, one a row, or candidates, as many of each prompt, best first: beam * vocab_size + token.
/// Of equal candidates the lower one comes first.
struct TokenChoice {
  std::vector<std::int32_t> tokens;  ///< -1: the probabilities of a row are not finite
  std::vector<float> logprobs;       ///< none unless the rule asks for them
  std::vector<float> scores;         ///< of candidates: their own and their beam's together
};

}  // namespace internvl
