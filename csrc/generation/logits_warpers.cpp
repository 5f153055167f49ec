// Warpers of sampling: each removes unlikely tokens (score minus infinity). At least
// min_tokens_to_keep tokens stay: one, or in beam sampling one more than there are eos tokens.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "generation/logits_processors.h"

namespace internvl {
namespace {

template <class RowFunction>
LogitsProcessor warp(RowFunction function) {
  return [function](const Step& step) {
    for (std::int64_t r = 0; r < step.scores.rows; ++r) {
      function(step.scores.row(r), step.scores.vocab_size);
    }
  };
}

/// Tokens that are still possible; sorting them instead of the vocabulary gives the same result.
std::vector<std::int64_t> possible_tokens(const float* scores, std::int64_t vocab_size) {
  std::vector<std::int64_t> tokens;
  for (std::int64_t i = 0; i < vocab_size; ++i) {
    if (scores[i] != kMinusInfinity) tokens.push_back(i);
  }
  return tokens;
}

LogitsProcessor temperature(float value) {
  return warp([value](float* scores, std::int64_t vocab_size) {
    for (std::int64_t i = 0; i < vocab_size; ++i) scores[i] /= value;
  });
}

void remove_below(float* scores, std::int64_t vocab_size, float threshold) {
  for (std::int64_t i = 0; i < vocab_size; ++i) {
    if (scores[i] < threshold) scores[i] = kMinusInfinity;
  }
}

LogitsProcessor keep_top_k(std::int64_t k) {
  return warp([k](float* scores, std::int64_t vocab_size) {
    remove_below(scores, vocab_size, kth_largest(scores, vocab_size, std::min(k, vocab_size)));
  });
}

/// Removes the least likely tokens whose probabilities sum to at most 1 - top_p.
LogitsProcessor keep_top_p(double top_p, std::int64_t min_tokens) {
  const auto rest = static_cast<float>(1.0 - top_p);
  return warp([rest, min_tokens](float* scores, std::int64_t vocab_size) {
    std::vector<std::int64_t> order = possible_tokens(scores, vocab_size);
    std::stable_sort(order.begin(), order.end(), [scores](std::int64_t a, std::int64_t b) {
      return larger(scores[b], scores[a]);
    });
    const std::vector<float> probabilities = softmax(scores, vocab_size);
    const auto removable = static_cast<std::int64_t>(order.size()) - min_tokens;
    double sum = 0.0;
    for (std::int64_t i = 0; i < removable; ++i) {
      sum += probabilities[order[i]];
      if (!(static_cast<float>(sum) <= rest)) break;
      scores[order[i]] = kMinusInfinity;
    }
  });
}

/// Locally typical sampling: keeps the tokens whose surprise is nearest to the entropy.
LogitsProcessor keep_typical(double mass, std::int64_t min_tokens) {
  const auto target = static_cast<float>(mass);
  return warp([target, min_tokens](float* scores, std::int64_t vocab_size) {
    std::vector<float> normalized(scores, scores + vocab_size);
    log_softmax(normalized.data(), vocab_size);
    std::vector<std::int64_t> order = possible_tokens(scores, vocab_size);
    double entropy = 0.0;
    for (std::int64_t i : order) entropy -= normalized[i] * std::exp(normalized[i]);
    std::vector<float> distance(vocab_size);
    for (std::int64_t i : order) {
      distance[i] = std::fabs(-normalized[i] - static_cast<float>(entropy));
    }
    std::stable_sort(order.begin(), order.end(), [&distance](std::int64_t a, std::int64_t b) {
      return larger(distance[b], distance[a]);
    });
    const std::vector<float> probabilities = softmax(scores, vocab_size);
    const auto count = static_cast<std::int64_t>(order.size());
    std::int64_t last = 0;
    double sum = 0.0;
    for (; last < count - 1; ++last) {
      sum += probabilities[order[last]];
      if (!(static_cast<float>(sum) < target)) break;
    }
    for (std::int64_t i = min_tokens; i < count; ++i) {
      if (distance[order[i]] > distance[order[last]]) scores[order[i]] = kMinusInfinity;
    }
  });
}

/// Removes tokens less likely than a cutoff, which may depend on the entropy.
void cut_off(float* scores, std::int64_t vocab_size, const std::vector<float>& probabilities,
             float cutoff, std::int64_t min_tokens) {
  const float kept = kth_largest(scores, vocab_size, std::min(min_tokens, vocab_size));
  for (std::int64_t i = 0; i < vocab_size; ++i) {
    if (probabilities[i] < cutoff && scores[i] < kept) scores[i] = kMinusInfinity;
  }
}

LogitsProcessor epsilon_cutoff(double epsilon, std::int64_t min_tokens) {
  return warp([epsilon, min_tokens](float* scores, std::int64_t vocab_size) {
    const std::vector<float> probabilities = softmax(scores, vocab_size);
    cut_off(scores, vocab_size, probabilities, static_cast<float>(epsilon), min_tokens);
  });
}

LogitsProcessor eta_cutoff(double epsilon, std::int64_t min_tokens) {
  const auto bound = static_cast<float>(epsilon);
  return warp([bound, min_tokens](float* scores, std::int64_t vocab_size) {
    const std::vector<float> probabilities = softmax(scores, vocab_size);
    std::vector<float> normalized(scores, scores + vocab_size);
    log_softmax(normalized.data(), vocab_size);
    double entropy = 0.0;
    for (std::int64_t i : possible_tokens(scores, vocab_size)) {
      entropy -= normalized[i] * probabilities[i];
    }
    const float eta = std::sqrt(bound) * std::exp(-static_cast<float>(entropy));
    cut_off(scores, vocab_size, probabilities, std::min(bound, eta), min_tokens);
  });
}

}  // namespace

LogitsProcessors make_logits_warpers(const GenerationConfig& config) {
  LogitsProcessors list;
  const std::int64_t min_tokens = config.min_tokens_to_keep;
  if (config.temperature != 1.0) {
    list.push_back(temperature(static_cast<float>(config.temperature)));
  }
  if (config.top_k > 0) list.push_back(keep_top_k(std::max(config.top_k, min_tokens)));
  if (config.top_p < 1.0) list.push_back(keep_top_p(config.top_p, min_tokens));
  if (config.typical_p < 1.0) list.push_back(keep_typical(config.typical_p, min_tokens));
  if (config.epsilon_cutoff > 0.0) {
    list.push_back(epsilon_cutoff(config.epsilon_cutoff, min_tokens));
  }
  if (config.eta_cutoff > 0.0) list.push_back(eta_cutoff(config.eta_cutoff, min_tokens));
  if (config.renormalize_logits) {
    list.push_back(warp(log_softmax));
  }
  return list;
}

}  // namespace internvl
