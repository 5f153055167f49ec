// Contrastive search (Su et al., 2022): among the top_k most likely tokens, the one that is least
// like what came before, judged by hidden states. Each step runs all candidates through the model.
// Reference: contrastive_search and _ranking_fast.
#include <algorithm>
#include <cmath>

#include "generation/decoding.h"

namespace internvl {
namespace {

using Vector = std::vector<float>;

/// The last layer's state of one row and token, with length 1.
Vector unit_state(const HiddenStates& states, std::int64_t row, std::int64_t token) {
  const std::int64_t last = states.layers - 1;
  const std::int64_t index = (last * states.batch + row) * states.tokens + token;
  const auto begin = states.values.begin() + index * states.hidden_size;
  Vector state(begin, begin + states.hidden_size);
  double square = 0.0;
  for (float x : state) square += static_cast<double>(x) * x;
  const auto norm = static_cast<float>(std::sqrt(square));
  for (float& x : state) x /= norm;
  return state;
}

float largest_similarity(const std::vector<Vector>& context, const Vector& state) {
  float largest = kMinusInfinity;
  for (const Vector& earlier : context) {
    double product = 0.0;
    for (std::size_t i = 0; i < state.size(); ++i) {
      product += static_cast<double>(earlier[i]) * state[i];
    }
    largest = std::max(largest, static_cast<float>(product));
  }
  return largest;
}

}  // namespace

GenerationOutput contrastive_search(Decoding decoding) {
  const GenerationConfig& config = decoding.config;
  decoding.start(1, config.output_hidden_states ? SequenceModel::KeepHidden::kAll
                                                : SequenceModel::KeepHidden::kLast);
  const std::int64_t rows = decoding.prompts;
  const std::int64_t k = config.top_k;
  const auto alpha = static_cast<float>(config.penalty_alpha);
  const auto confidence = static_cast<float>(1.0 - config.penalty_alpha);

  std::vector<std::vector<Vector>> context(rows);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t t = 0; t < decoding.hidden.tokens; ++t) {
      context[r].push_back(unit_state(decoding.hidden, r, t));
    }
  }
  std::vector<std::int32_t> parents(rows * k);
  for (std::int64_t i = 0; i < rows * k; ++i) parents[i] = static_cast<std::int32_t>(i / k);

  for (;;) {
    Scores scores = decoding.logits;
    run_processors(decoding.processors, {decoding.sequences, scores, {}});
    decoding.record(scores);

    Sequence candidates;
    Vector probabilities;
    Logprobs candidate_logprobs;
    for (std::int64_t r = 0; r < rows; ++r) {
      const Vector distribution = softmax(scores.row(r), scores.vocab_size);
      for (const Candidate& candidate : top_k(distribution.data(), scores.vocab_size, k)) {
        candidates.push_back(candidate.index);
        probabilities.push_back(candidate.score);
        candidate_logprobs.push_back(decoding.logprob(r, candidate.index));
      }
    }
    decoding.reorder(parents);
    decoding.advance(candidates);

    Sequence tokens;
    Logprobs logprobs;
    std::vector<std::int32_t> selected;
    for (std::int64_t r = 0; r < rows; ++r) {
      Vector ranking;
      std::vector<Vector> states;
      for (std::int64_t i = r * k; i < (r + 1) * k; ++i) {
        states.push_back(unit_state(decoding.hidden, i, 0));
        const float penalty = largest_similarity(context[r], states.back());
        ranking.push_back(confidence * probabilities[i] - alpha * penalty);
      }
      const std::int64_t best = argmax(ranking.data(), k);
      selected.push_back(static_cast<std::int32_t>(r * k + best));
      context[r].push_back(std::move(states[best]));
      tokens.push_back(candidates[selected.back()]);
      logprobs.push_back(candidate_logprobs[selected.back()]);
    }
    const bool all_finished = decoding.append(std::move(tokens), logprobs);
    if (decoding.should_stop() || all_finished) break;
    // The winners' cache, logits and states are already there: the model has run them.
    decoding.select(selected);
  }
  decoding.output.sequences = std::move(decoding.sequences);
  decoding.output.logprobs = std::move(decoding.logprobs);
  return std::move(decoding.output);
}

}  // namespace internvl
