#include "generation/prompt_lookup.h"

#include <algorithm>

#include "core/error.h"

namespace internvl {

void PromptLookup::prefill(std::int64_t copies) {
  check(model_.batch_size() == 1, "`prompt_lookup_num_tokens` works on one prompt, got ",
        model_.batch_size());
  if (copies > 1) reorder(parents_of_copies(1, copies));  // throws
  text_ = model_.prompt(0);
  model_.prefill(1);
  read_ahead(1);
}

void PromptLookup::reorder(const std::vector<std::int32_t>& parents) {
  throw InvalidArgument(
      message("`prompt_lookup_num_tokens` works on one sequence, got ", parents.size()));
}

void PromptLookup::step(const std::int32_t* tokens) {
  text_.push_back(tokens[0]);
  ++steps_;
  if (accepted_ < candidates_.size() && candidates_[accepted_] == tokens[0]) {
    ++accepted_;
  } else {
    drop_candidates();
    candidates_ = candidates();
    std::vector<std::int32_t> run{tokens[0]};
    run.insert(run.end(), candidates_.begin(), candidates_.end());
    const auto count = static_cast<std::int64_t>(run.size());
    if (candidates_.empty()) {
      model_.step(run.data());
    } else {
      model_.extend(run.data(), count);
    }
    read_ahead(count);
  }
}

void PromptLookup::read_logits(float* logits) {
  std::copy_n(ahead_.row(static_cast<std::int64_t>(accepted_)), ahead_.vocab_size, logits);
}

void PromptLookup::read_ahead(std::int64_t rows) {
  ahead_ = Scores(rows, vocab_size());
  model_.read_logits(ahead_.values.data());
}

void PromptLookup::drop_candidates() {
  if (accepted_ < candidates_.size())
    model_.crop(static_cast<std::int64_t>(candidates_.size() - accepted_));
  candidates_.clear();
  accepted_ = 0;
}

Sequence PromptLookup::candidates() const {
  // The last token of a generation is never run, nor is an end token.
  const std::int64_t wanted = config_.max_length - config_.prompt_length() - steps_ - 1;
  const std::int64_t most =
      std::min({config_.prompt_lookup_num_tokens, model_.max_extension() - 1, wanted});
  if (most <= 0) return {};
  const auto end = text_.end();
  const auto size = static_cast<std::int64_t>(text_.size());
  for (std::int64_t ngram = std::min(config_.max_matching_ngram_size, size - 1); ngram > 0;
       --ngram) {
    const auto match = std::search(text_.begin(), end - 1, end - ngram, end);
    if (match == end - 1) continue;
    const auto first = match + ngram;
    const auto last = first + std::min<std::int64_t>(most, end - first);
    return {first, std::find_if(first, last, [&](auto token) { return config_.is_eos(token); })};
  }
  return {};
}

}  // namespace internvl
