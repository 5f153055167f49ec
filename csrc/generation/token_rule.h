// Which searches leave the choice of tokens to the model, and what it needs for it.
#pragma once

#include <optional>

#include "core/token_choice.h"
#include "generation/logits_processors.h"
#include "generation/sampler.h"

namespace internvl {

/// The rule that a config's search, processors and warpers come to. Nothing where one of them is
/// not part of rules, or where something else looks at the logits.
std::optional<TokenRule> make_token_rule(const GenerationConfig& config,
                                         const LogitsProcessors& processors,
                                         const LogitsProcessors& warpers);

/// What the rule of a config reads in a step. `beam_scores` are only for candidates.
TokenInputs make_token_inputs(const GenerationConfig& config, const TokenRule& rule,
                              const Sequences& sequences, const std::vector<float>& beam_scores,
                              const Sampler& sampler, std::uint32_t step);

}  // namespace internvl
