#include "generation/beam_scorer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "generation/decoding.h"

namespace internvl {

double BeamHypotheses::normalized(double sum_logprobs, std::int64_t length) const {
  return sum_logprobs / std::pow(static_cast<double>(length), config_.length_penalty);
}

void BeamHypotheses::add(Beam beam, float sum_logprobs, std::int64_t length) {
  const double score = normalized(sum_logprobs, length);
  const auto size = [this] { return static_cast<std::int64_t>(hypotheses_.size()); };
  if (size() >= capacity_ && !(score > worst_score_)) return;
  hypotheses_.push_back({score, std::move(beam)});
  const auto worse = [](const Hypothesis& a, const Hypothesis& b) { return a.score < b.score; };
  if (size() > capacity_) {
    hypotheses_.erase(std::min_element(hypotheses_.begin(), hypotheses_.end(), worse));
    worst_score_ = std::min_element(hypotheses_.begin(), hypotheses_.end(), worse)->score;
  } else {
    worst_score_ = std::min(score, worst_score_);
  }
}

bool BeamHypotheses::is_done(float best_sum_logprobs, std::int64_t length) const {
  if (static_cast<std::int64_t>(hypotheses_.size()) < capacity_) return false;
  const bool never = !config_.early_stopping.has_value();
  if (!never && *config_.early_stopping) return true;
  std::int64_t best_length = length;
  if (never && config_.length_penalty > 0.0) {
    best_length = config_.max_length - config_.prompt_length();
    check(best_length > 0, "early_stopping='never' needs max_length > ", config_.prompt_length(),
          ", got ", config_.max_length, ".");
  }
  return worst_score_ >= normalized(best_sum_logprobs, best_length);
}

BeamScorer::BeamScorer(const GenerationConfig& config, std::int64_t prompts)
    : config_(config),
      prompts_(prompts),
      groups_(config.num_beam_groups),
      group_size_(config.num_beams / config.num_beam_groups),
      hypotheses_(prompts * groups_, BeamHypotheses(group_size_, config)),
      done_(prompts * groups_) {}

NextBeams BeamScorer::process(std::int64_t group, const std::vector<Beam>& beams,
                              const std::vector<BeamCandidates>& candidates,
                              std::int64_t vocab_size) {
  const auto length =
      static_cast<std::int64_t>(beams.front().tokens.size()) + 1 - config_.prompt_length();
  NextBeams next;
  for (std::int64_t prompt = 0; prompt < prompts_; ++prompt) {
    BeamHypotheses& hypotheses = hypotheses_[prompt * groups_ + group];
    if (is_done(group, prompt)) {  // any valid beam keeps the batch in step
      check_pad_token(config_, vocab_size);
      next.scores.insert(next.scores.end(), group_size_, 0.0f);
      next.tokens.insert(next.tokens.end(), group_size_, config_.pad_token_id);
      next.parents.insert(next.parents.end(), group_size_, 0);
      next.logprobs.insert(next.logprobs.end(), group_size_, 0.0f);
      continue;
    }
    std::int64_t rank = 0;
    std::int64_t chosen = 0;
    for (const BeamCandidate& candidate : candidates[prompt]) {
      const auto row = static_cast<std::int32_t>(prompt * group_size_ + candidate.beam);
      if (config_.is_eos(candidate.token)) {
        if (rank < group_size_) {  // an ending counts only among the best
          Beam ended = beams[row];
          if (config_.output_scores) ended.indices.push_back(row);
          if (config_.output_logprobs) ended.logprobs.push_back(candidate.logprob);
          hypotheses.add(std::move(ended), candidate.score, length);
        }
      } else {
        next.scores.push_back(candidate.score);
        next.tokens.push_back(candidate.token);
        next.parents.push_back(row);
        next.logprobs.push_back(candidate.logprob);
        if (++chosen == group_size_) break;
      }
      ++rank;
    }
    check(chosen == group_size_, "At most ", group_size_, " of the ", candidates[prompt].size(),
          " candidates of a step can be equal to `eos_token_id`: too few beams are left.");
    if (hypotheses.is_done(candidates[prompt].front().score, length))
      done_[prompt * groups_ + group] = true;
  }
  return next;
}

bool BeamScorer::all_done() const {
  return std::find(done_.begin(), done_.end(), false) == done_.end();
}

void BeamScorer::finalize(const std::vector<Beam>& beams, const std::vector<float>& beam_scores,
                          GenerationOutput& output) {
  using Hypothesis = BeamHypotheses::Hypothesis;
  const auto length =
      static_cast<std::int64_t>(beams.front().tokens.size()) - config_.prompt_length();
  for (std::size_t i = 0; i < hypotheses_.size(); ++i) {
    if (done_[i]) continue;
    for (std::size_t row = i * group_size_; row < (i + 1) * group_size_; ++row) {
      hypotheses_[i].add(beams[row], beam_scores[row], length);
    }
  }

  std::vector<const Hypothesis*> best;
  for (std::int64_t prompt = 0; prompt < prompts_; ++prompt) {
    std::vector<const Hypothesis*> ranked;
    for (std::int64_t group = 0; group < groups_; ++group) {
      for (const Hypothesis& h : hypotheses_[prompt * groups_ + group].hypotheses()) {
        ranked.push_back(&h);
      }
    }
    // Best first; of two equals the later one, since the reference takes from the sorted end.
    std::reverse(ranked.begin(), ranked.end());
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const auto* a, const auto* b) { return a->score > b->score; });
    best.insert(best.end(), ranked.begin(), ranked.begin() + config_.num_return_sequences);
  }

  std::size_t longest = 0;
  for (const Hypothesis* h : best) longest = std::max(longest, h->beam.tokens.size());
  // Hypotheses lack their eos: it is put back where max_length leaves room.
  std::size_t width = longest;
  if (!config_.eos_token_id.empty() && static_cast<std::int64_t>(longest) < config_.max_length) {
    width = longest + 1;
  }
  for (const Hypothesis* h : best) {
    Sequence tokens = h->beam.tokens;
    if (tokens.size() < width) tokens.push_back(config_.eos_token_id.front());
    tokens.resize(width, config_.pad_token_id);
    output.sequences.push_back(std::move(tokens));
    output.sequences_scores.push_back(static_cast<float>(h->score));
    if (config_.output_scores) {
      output.beam_indices.push_back(h->beam.indices);
      output.beam_indices.back().resize(width, -1);
    }
    if (config_.output_logprobs) output.logprobs.push_back(h->beam.logprobs);
  }
}

}  // namespace internvl
