// How a step's tokens are chosen without handing the scores out: what the generation loop asks of
// a model, and the model of its backend.
#pragma once

#include <cstdint>
#include <vector>

#include "core/buffer.h"

namespace internvl {

/// Those processors and warpers of csrc/generation that a backend may have, in their order, and
/// then the first of the largest scores or a draw.
struct TokenRule {
  float repetition_penalty = 1.0f;
  std::int64_t no_repeat_ngram_size = 0;  ///< 0: none
  bool suppresses = false;                ///< steps may have TokenInputs::suppressed
  bool do_sample = false;
  float temperature = 1.0f;  ///< this and what follows is of draws
  std::int64_t top_k = 0;    ///< 0: all
  double top_p = 1.0;
  std::int64_t min_tokens_to_keep = 1;
  bool logprobs = false;  ///< log-probabilities of the tokens, in the scores as they come

  bool reads_sequences() const { return repetition_penalty != 1.0f || no_repeat_ngram_size > 0; }
  bool is_argmax() const { return !reads_sequences() && !suppresses && !do_sample && !logprobs; }
};

/// What a rule reads in one step, and the same as the backend's operations read it. Only that
/// backend knows the layout of `table`.
struct TokenInputs {
  std::vector<std::vector<std::int64_t>> sequences;  ///< of equal length; none unless they are read
  std::vector<std::int32_t> suppressed;              ///< different tokens, impossible in all rows
  std::vector<double> uniforms;                      ///< in [0, 1), one a row; none without draws
  Buffer table;                                      ///< filled by Backend::prepare_choice()
};

struct TokenChoice {
  std::vector<std::int32_t> tokens;  ///< one a row; -1: its probabilities are not finite
  std::vector<float> logprobs;       ///< none unless the rule asks for them
};

}  // namespace internvl
