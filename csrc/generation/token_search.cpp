// One token a row and step: the best (greedy) or a random one (sampling). Reference: greedy_search
// and sample.
#include "generation/decoding.h"

namespace internvl {
namespace {

/// From the logits, on the host.
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

/// What the model itself has chosen.
Choice chosen(Decoding& decoding) {
  decoding.record({});
  TokenChoice choice = decoding.choose_by_rule();
  for (const std::int32_t token : choice.tokens)
    if (token < 0) throw_not_finite();
  return {{choice.tokens.begin(), choice.tokens.end()}, std::move(choice.logprobs)};
}

}  // namespace

GenerationOutput token_search(Decoding decoding) {
  const GenerationConfig& config = decoding.config;
  decoding.start(config.num_return_sequences, config.output_hidden_states
                                                  ? SequenceModel::KeepHidden::kAll
                                                  : SequenceModel::KeepHidden::kNone);
  for (;;) {
    Choice choice = decoding.rule ? chosen(decoding) : choose(decoding);
    const bool all_finished = decoding.append(std::move(choice.tokens), choice.logprobs);
    if (decoding.should_stop() || all_finished) break;
    decoding.advance(decoding.last_tokens());
  }
  decoding.output.sequences = std::move(decoding.sequences);
  decoding.output.logprobs = std::move(decoding.logprobs);
  return std::move(decoding.output);
}

}  // namespace internvl
