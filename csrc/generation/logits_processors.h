// The functions that change a step's scores before a token is chosen: processors (every search)
// and warpers (sampling), as transformers 4.37.2 builds them from a GenerationConfig.
#pragma once

#include <functional>
#include <vector>

#include "generation/generation_config.h"
#include "generation/scores.h"

namespace internvl {

/// What a processor sees of a step, and the scores that it changes in place.
struct Step {
  const Sequences& sequences;  ///< the tokens of each row so far
  Scores& scores;
  /// Group beam search: what the groups before this one chose in this step, by prompt.
  const Sequences& group_tokens;
};

using LogitsProcessor = std::function<void(const Step&)>;
using LogitsProcessors = std::vector<LogitsProcessor>;

/// Extension points in the order of the reference; empty functions are left out.
struct CustomProcessors {
  /// Tokens allowed after a sequence of prompt `prompt`; the rest become impossible.
  std::function<Sequence(std::int64_t prompt, const Sequence& sequence)> allowed_tokens;
  LogitsProcessor process;
};

LogitsProcessors make_logits_processors(const GenerationConfig& config,
                                        const CustomProcessors& custom);

LogitsProcessors make_logits_warpers(const GenerationConfig& config);

inline void run_processors(const LogitsProcessors& processors, const Step& step) {
  for (const LogitsProcessor& processor : processors) processor(step);
}

}  // namespace internvl
