// One function a processor; each returns a closure over its parameters. Scores are float32 and
// scalars are rounded to float32 before they meet them, as torch does.
#include "generation/logits_processors.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace internvl {
namespace {

template <class RowFunction>
LogitsProcessor for_each_row(RowFunction function) {
  return [function](const Step& step) {
    for (std::int64_t r = 0; r < step.scores.rows; ++r) {
      function(step.sequences[r], step.scores.row(r), step.scores.vocab_size);
    }
  };
}

bool ends_with(const Sequence& sequence, const Sequence& suffix, std::size_t suffix_size) {
  return suffix_size <= sequence.size() &&
         std::equal(suffix.begin(), suffix.begin() + suffix_size, sequence.end() - suffix_size);
}

/// Adds a bias to the token that would complete a given sequence.
LogitsProcessor sequence_bias(std::vector<std::pair<Sequence, float>> biases) {
  return for_each_row([biases](const Sequence& sequence, float* scores, std::int64_t) {
    std::map<std::int64_t, float> sums;  // biases of a token are added before they meet the score
    for (const auto& [tokens, bias] : biases) {
      const bool applies = tokens.size() == 1 || (tokens.size() <= sequence.size() &&
                                                  ends_with(sequence, tokens, tokens.size() - 1));
      if (applies) sums[tokens.back()] += bias;
    }
    for (const auto& [token, bias] : sums) scores[token] += bias;
  });
}

/// Hamming diversity: tokens chosen by earlier groups in this step cost a penalty each.
LogitsProcessor diversity_penalty(float penalty) {
  return [penalty](const Step& step) {
    if (step.group_tokens.empty()) return;
    const auto prompts = static_cast<std::int64_t>(step.group_tokens.size());
    const std::int64_t group_size = step.scores.rows / prompts;
    for (std::int64_t r = 0; r < step.scores.rows; ++r) {
      std::map<std::int64_t, int> frequency;
      for (std::int64_t token : step.group_tokens[r / group_size]) ++frequency[token];
      for (const auto& [token, count] : frequency) {
        step.scores.row(r)[token] -= penalty * static_cast<float>(count);
      }
    }
  };
}

LogitsProcessor repetition_penalty(float penalty) {
  return for_each_row([penalty](const Sequence& sequence, float* scores, std::int64_t) {
    Sequence tokens = sequence;  // each token is penalised once
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    for (std::int64_t token : tokens) {
      float& score = scores[token];
      score = score < 0.0f ? score * penalty : score / penalty;
    }
  });
}

LogitsProcessor no_repeat_ngram(std::size_t size) {
  return for_each_row([size](const Sequence& sequence, float* scores, std::int64_t) {
    if (sequence.size() < size) return;
    const auto prefix = sequence.end() - (size - 1);
    for (auto ngram = sequence.begin(); ngram + (size - 1) != sequence.end(); ++ngram) {
      if (std::equal(prefix, sequence.end(), ngram)) scores[*(ngram + (size - 1))] = kMinusInfinity;
    }
  });
}

LogitsProcessor suppress_while_shorter(std::size_t length, Sequence tokens) {
  return for_each_row([length, tokens](const Sequence& sequence, float* scores, std::int64_t) {
    if (sequence.size() >= length) return;
    for (std::int64_t token : tokens) scores[token] = kMinusInfinity;
  });
}

LogitsProcessor suppress_at(std::size_t length, Sequence tokens) {
  return for_each_row([length, tokens](const Sequence& sequence, float* scores, std::int64_t) {
    if (sequence.size() != length) return;
    for (std::int64_t token : tokens) scores[token] = kMinusInfinity;
  });
}

LogitsProcessor suppress(Sequence tokens) {
  return for_each_row([tokens](const Sequence&, float* scores, std::int64_t) {
    for (std::int64_t token : tokens) scores[token] = kMinusInfinity;
  });
}

/// At the given length only these tokens are possible.
LogitsProcessor force_at(std::size_t length, Sequence tokens) {
  return for_each_row(
      [length, tokens](const Sequence& sequence, float* scores, std::int64_t vocab_size) {
        if (sequence.size() != length) return;
        std::fill_n(scores, vocab_size, kMinusInfinity);
        for (std::int64_t token : tokens) scores[token] = 0.0f;
      });
}

LogitsProcessor allow_only(
    std::function<Sequence(std::int64_t prompt, const Sequence& sequence)> allowed_tokens,
    std::int64_t beams) {
  return [allowed_tokens, beams](const Step& step) {
    for (std::int64_t r = 0; r < step.scores.rows; ++r) {
      const Sequence allowed = allowed_tokens(r / beams, step.sequences[r]);
      check(!allowed.empty(), "`prefix_allowed_tokens_fn` returned an empty list for batch ID ",
            r / beams, ": no token can follow.");
      float* scores = step.scores.row(r);
      std::vector<bool> keep(step.scores.vocab_size);
      for (std::int64_t token : allowed) {
        check(token >= 0 && token < step.scores.vocab_size,
              "`prefix_allowed_tokens_fn` returned token ", token, " of a vocabulary of ",
              step.scores.vocab_size, ".");
        keep[token] = true;
      }
      for (std::int64_t i = 0; i < step.scores.vocab_size; ++i) {
        if (!keep[i]) scores[i] += kMinusInfinity;
      }
    }
  };
}

LogitsProcessor remove_invalid_values() {
  return for_each_row([](const Sequence&, float* scores, std::int64_t vocab_size) {
    constexpr float largest = std::numeric_limits<float>::max();
    for (std::int64_t i = 0; i < vocab_size; ++i) {
      scores[i] = std::isnan(scores[i]) ? 0.0f : std::clamp(scores[i], -largest, largest);
    }
  });
}

LogitsProcessor exponential_decay(std::int64_t start, double factor, Sequence eos) {
  return for_each_row([start, factor, eos](const Sequence& sequence, float* scores, std::int64_t) {
    const auto excess = static_cast<std::int64_t>(sequence.size()) - start;
    if (excess <= 0) return;
    const auto growth = static_cast<float>(std::pow(factor, static_cast<double>(excess)) - 1.0);
    for (std::int64_t token : eos) scores[token] += std::fabs(scores[token]) * growth;
  });
}

std::vector<std::pair<Sequence, float>> forbidden(const Sequences& bad_words_ids) {
  std::vector<std::pair<Sequence, float>> biases;
  for (const Sequence& tokens : bad_words_ids) biases.emplace_back(tokens, kMinusInfinity);
  return biases;
}

}  // namespace

LogitsProcessors make_logits_processors(const GenerationConfig& config,
                                        const CustomProcessors& custom) {
  LogitsProcessors list;
  const Sequence& eos = config.processed_eos_token_id;
  if (!config.sequence_bias.empty()) list.push_back(sequence_bias(config.sequence_bias));
  if (config.diversity_penalty > 0.0) {
    list.push_back(diversity_penalty(static_cast<float>(config.diversity_penalty)));
  }
  if (config.repetition_penalty != 1.0) {
    list.push_back(repetition_penalty(static_cast<float>(config.repetition_penalty)));
  }
  if (config.no_repeat_ngram_size > 0) list.push_back(no_repeat_ngram(config.no_repeat_ngram_size));
  if (!config.bad_words_ids.empty()) {
    list.push_back(sequence_bias(forbidden(config.bad_words_ids)));
  }
  if (config.min_length > 0) list.push_back(suppress_while_shorter(config.min_length, eos));
  if (config.min_new_tokens > 0) {
    list.push_back(suppress_while_shorter(config.prompt_length() + config.min_new_tokens, eos));
  }
  if (custom.allowed_tokens) {
    list.push_back(allow_only(custom.allowed_tokens, config.num_beams / config.num_beam_groups));
  }
  if (config.forced_bos_token_id) list.push_back(force_at(1, {*config.forced_bos_token_id}));
  if (!config.forced_eos_token_id.empty()) {
    list.push_back(force_at(config.max_length - 1, config.forced_eos_token_id));
  }
  if (config.remove_invalid_values) list.push_back(remove_invalid_values());
  if (const auto& decay = config.exponential_decay_length_penalty) {
    list.push_back(exponential_decay(config.prompt_length() + decay->first, decay->second, eos));
  }
  if (!config.suppress_tokens.empty()) list.push_back(suppress(config.suppress_tokens));
  if (!config.begin_suppress_tokens.empty()) {
    list.push_back(suppress_at(config.begin_index, config.begin_suppress_tokens));
  }
  for (const auto& [length, token] : config.forced_decoder_ids) {
    list.push_back(force_at(length, {token}));
  }
  if (custom.process) list.push_back(custom.process);
  if (config.renormalize_logits) {
    list.push_back(for_each_row([](const Sequence&, float* scores, std::int64_t vocab_size) {
      log_softmax(scores, vocab_size);
    }));
  }
  return list;
}

}  // namespace internvl
