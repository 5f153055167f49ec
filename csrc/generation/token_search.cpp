// One token a row and step: the best (greedy) or a random one (sampling). Reference: greedy_search
// and sample.
#include "generation/decoding.h"

namespace internvl {
namespace {

Choice choose(Decoding& decoding) {
  const std::int64_t vocab_size = decoding.logits.vocab_size;
  Scores scores = decoding.logits;
  const Step step{decoding.sequences, scores, {}};
  run_processors(decoding.processors, step);
  run_processors(decoding.warpers, step);
  decoding.record(scores);

  Choice choice;
  for (std::int64_t r = 0; r < scores.rows; ++r) {
    choice.tokens.push_back(decoding.config.do_sample
                                ? decoding.sampler.sample(softmax(scores.row(r), vocab_size),
                                                          static_cast<std::uint32_t>(r),
                                                          decoding.step)
                                : argmax(scores.row(r), vocab_size));
    choice.logprobs.push_back(decoding.logprob(r, choice.tokens.back()));
  }
  return choice;
}

/// How the model itself chooses tokens; nothing where the host has to, from the logits.
std::optional<TokenRule> rule_of(const Decoding& decoding) {
  const std::optional<TokenRule> rule =
      make_token_rule(decoding.config, decoding.processors, decoding.warpers);
  return rule && decoding.model.can_choose(*rule) ? rule : std::nullopt;
}

}  // namespace

GenerationOutput token_search(Decoding decoding) {
  const GenerationConfig& config = decoding.config;
  decoding.start(config.num_return_sequences, config.output_hidden_states
                                                  ? SequenceModel::KeepHidden::kAll
                                                  : SequenceModel::KeepHidden::kNone);
  const std::optional<TokenRule> rule = rule_of(decoding);
  Choice choice = choose(decoding);
  for (;;) {
    const bool all_finished = decoding.append(std::move(choice.tokens), choice.logprobs);
    if (decoding.should_stop() || all_finished) break;
    if (rule) {
      choice = decoding.advance_by(*rule, decoding.last_tokens());
      decoding.record({});
    } else {
      decoding.advance(decoding.last_tokens());
      choice = choose(decoding);
    }
  }
  decoding.output.sequences = std::move(decoding.sequences);
  decoding.output.logprobs = std::move(decoding.logprobs);
  return std::move(decoding.output);
}

}  // namespace internvl
