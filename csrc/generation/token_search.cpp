// One token a row and step: the best (greedy) or a random one (sampling). Reference: greedy_search
// and sample.
#include "generation/decoding.h"

namespace internvl {

GenerationOutput token_search(Decoding decoding) {
  const GenerationConfig& config = decoding.config;
  decoding.start(config.num_return_sequences, config.output_hidden_states
                                                  ? SequenceModel::KeepHidden::kAll
                                                  : SequenceModel::KeepHidden::kNone);
  const std::int64_t rows = decoding.logits.rows;
  const std::int64_t vocab_size = decoding.logits.vocab_size;
  for (;;) {
    Scores scores = decoding.logits;
    const Step step{decoding.sequences, scores, {}};
    run_processors(decoding.processors, step);
    run_processors(decoding.warpers, step);
    decoding.record(scores);

    Sequence tokens;
    Logprobs logprobs;
    for (std::int64_t r = 0; r < rows; ++r) {
      tokens.push_back(config.do_sample
                           ? decoding.sampler.sample(softmax(scores.row(r), vocab_size),
                                                     static_cast<std::uint32_t>(r), decoding.step)
                           : argmax(scores.row(r), vocab_size));
      logprobs.push_back(decoding.logprob(r, tokens.back()));
    }
    const bool all_finished = decoding.append(std::move(tokens), logprobs);
    if (decoding.should_stop() || all_finished) break;
    decoding.advance(decoding.last_tokens());
  }
  decoding.output.sequences = std::move(decoding.sequences);
  decoding.output.logprobs = std::move(decoding.logprobs);
  return std::move(decoding.output);
}

}  // namespace internvl
