#include "generation/token_rule.h"

#include <algorithm>

namespace internvl {
namespace {

/// Whether a rule can end in what the search chooses in a step.
bool has_choice(const GenerationConfig& config) {
  if (config.num_beams > 1) return config.num_beam_groups == 1 && !config.do_sample;
  return config.penalty_alpha == 0.0;
}

}  // namespace

std::optional<TokenRule> make_token_rule(const GenerationConfig& config,
                                         const LogitsProcessors& processors,
                                         const LogitsProcessors& warpers) {
  TokenRule rule;
  rule.repetition_penalty = static_cast<float>(config.repetition_penalty);
  rule.no_repeat_ngram_size = config.no_repeat_ngram_size;
  rule.do_sample = config.do_sample;
  rule.temperature = static_cast<float>(config.temperature);
  rule.top_k = config.top_k;
  rule.top_p = config.top_p;
  rule.min_tokens_to_keep = config.min_tokens_to_keep;
  rule.logprobs = config.output_logprobs;
  if (config.num_beams > 1) {
    rule.beams = config.num_beams;
    // One more than are chosen from: whether the last of those has an equal.
    rule.candidates = config.num_beams * config.candidates_per_beam() + 1;
  }

  const int suppressing = (config.min_length > 0) + (config.min_new_tokens > 0) +
                          !config.suppress_tokens.empty() + !config.begin_suppress_tokens.empty();
  rule.suppresses = suppressing > 0;
  const int processing =
      (config.repetition_penalty != 1.0) + (config.no_repeat_ngram_size > 0) + suppressing;
  const int warping = (config.temperature != 1.0) + (config.top_k > 0) + (config.top_p < 1.0);
  // More of them than these: the others are no part of rules.
  const bool all = static_cast<int>(processors.size()) == processing &&
                   static_cast<int>(warpers.size()) == (config.do_sample ? warping : 0);
  if (!all || !has_choice(config) || config.output_scores || config.output_logits)
    return std::nullopt;
  return rule;
}

TokenInputs make_token_inputs(const GenerationConfig& config, const TokenRule& rule,
                              const Sequences& sequences, const std::vector<float>& beam_scores,
                              const Sampler& sampler, std::uint32_t step) {
  TokenInputs inputs;
  if (rule.reads_sequences()) inputs.sequences = sequences;
  if (rule.has_candidates()) inputs.beam_scores = beam_scores;
  const auto suppress = [&inputs](const Sequence& tokens) {
    inputs.suppressed.insert(inputs.suppressed.end(), tokens.begin(), tokens.end());
  };
  const auto length = static_cast<std::int64_t>(sequences.front().size());
  const std::int64_t shortest =
      std::max(config.min_length,
               config.min_new_tokens > 0 ? config.prompt_length() + config.min_new_tokens : 0);
  if (length < shortest) suppress(config.processed_eos_token_id);
  suppress(config.suppress_tokens);
  if (length == config.begin_index) suppress(config.begin_suppress_tokens);
  std::sort(inputs.suppressed.begin(), inputs.suppressed.end());
  inputs.suppressed.erase(std::unique(inputs.suppressed.begin(), inputs.suppressed.end()),
                          inputs.suppressed.end());
  for (std::size_t r = 0; rule.do_sample && r < sequences.size(); ++r)
    inputs.uniforms.push_back(sampler.uniform(static_cast<std::uint32_t>(r), step, 0));
  return inputs;
}

}  // namespace internvl
