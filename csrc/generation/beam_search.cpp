// Beam search, beam sampling and group (diverse) beam search: a group is a beam search of its own
// that is penalised for tokens which earlier groups chose in the same step; plain beam search has
// one group. Reference: beam_search, beam_sample and group_beam_search.
#include <algorithm>
#include <numeric>

#include "generation/beam_scorer.h"
#include "generation/decoding.h"

namespace internvl {
namespace {

constexpr float kNotStarted = -1e9f;  // score of beams that start as copies of the first

Sequences gather(const Sequences& sequences, const std::vector<std::int32_t>& rows) {
  Sequences result;
  for (std::int32_t row : rows) result.push_back(sequences[row]);
  return result;
}

/// The rows of a group, for all prompts.
std::vector<std::int32_t> rows_of(std::int64_t group, std::int64_t prompts,
                                  const GenerationConfig& config) {
  const std::int64_t group_size = config.num_beams / config.num_beam_groups;
  std::vector<std::int32_t> rows;
  for (std::int64_t prompt = 0; prompt < prompts; ++prompt) {
    const std::int64_t first = prompt * config.num_beams + group * group_size;
    for (std::int64_t i = 0; i < group_size; ++i) {
      rows.push_back(static_cast<std::int32_t>(first + i));
    }
  }
  return rows;
}

/// The continuations to choose from, best first, of a prompt's beams laid end to end.
std::vector<Candidate> candidates_of(const Decoding& decoding, const float* totals,
                                     std::int64_t beams, std::int64_t vocab_size,
                                     std::int64_t prompt) {
  const std::int64_t count = beams * vocab_size;
  if (!decoding.config.do_sample)
    return top_k(totals, count, std::min(count, beams * decoding.config.candidates_per_beam()));
  std::vector<Candidate> sampled;
  for (std::int64_t index : decoding.sampler.sample_without_replacement(
           softmax(totals, count), std::min(count, 2 * beams), static_cast<std::uint32_t>(prompt),
           decoding.step)) {
    sampled.push_back({totals[index], index});
  }
  std::stable_sort(sampled.begin(), sampled.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return sampled;
}

/// The candidates of a group's rows for each prompt, chosen on the host. Scores as the processors
/// (and warpers) leave them go to `processed` if the config asks for them.
std::vector<BeamCandidates> choose(const Decoding& decoding, const std::vector<std::int32_t>& rows,
                                   const Sequences& group_tokens, Scores& processed) {
  const std::int64_t vocab_size = decoding.logits.vocab_size;
  const Sequences sequences = gather(decoding.sequences, rows);
  Scores scores = gather_rows(decoding.logits, rows);
  for (std::int64_t r = 0; r < scores.rows; ++r) log_softmax(scores.row(r), vocab_size);
  const Step step{sequences, scores, group_tokens};
  run_processors(decoding.processors, step);
  run_processors(decoding.warpers, step);
  for (std::int64_t r = 0; r < scores.rows; ++r) {
    if (decoding.config.output_scores)
      std::copy_n(scores.row(r), vocab_size, processed.row(rows[r]));
    std::for_each_n(scores.row(r), vocab_size,
                    [beam = decoding.beam_scores[rows[r]]](float& score) { score += beam; });
  }
  const std::int64_t beams = scores.rows / decoding.prompts;
  std::vector<BeamCandidates> candidates(decoding.prompts);
  for (std::int64_t prompt = 0; prompt < decoding.prompts; ++prompt) {
    const std::int64_t first = prompt * beams;
    for (const Candidate& best :
         candidates_of(decoding, scores.row(first), beams, vocab_size, prompt)) {
      const auto beam = static_cast<std::int32_t>(best.index / vocab_size);
      const std::int64_t token = best.index % vocab_size;
      const float logprob = decoding.logprob(rows[first + beam], token);
      candidates[prompt].push_back({best.score, beam, token, logprob});
    }
  }
  return candidates;
}

/// The same, chosen by the model. Nothing where a prompt that goes on has equal ones: their order
/// is the host's, see top_k().
std::vector<BeamCandidates> chosen(Decoding& decoding, const BeamScorer& scorer) {
  const TokenChoice choice = decoding.choose_by_rule();
  const auto vocab_size = static_cast<std::int32_t>(decoding.model.vocab_size());
  const auto found = static_cast<std::int64_t>(choice.tokens.size()) / decoding.prompts;
  std::vector<BeamCandidates> candidates(decoding.prompts);
  for (std::int64_t prompt = 0; prompt < decoding.prompts; ++prompt) {
    BeamCandidates& best = candidates[prompt];
    for (std::int64_t i = prompt * found; i < (prompt + 1) * found; ++i) {
      const float logprob = choice.logprobs.empty() ? 0.0f : choice.logprobs[i];
      best.push_back({choice.scores[i], choice.tokens[i] / vocab_size,
                      choice.tokens[i] % vocab_size, logprob});
    }
    const auto equal = [](const BeamCandidate& a, const BeamCandidate& b) {
      return !larger(a.score, b.score);
    };
    if (!scorer.is_done(0, prompt) &&
        std::adjacent_find(best.begin(), best.end(), equal) != best.end())
      return {};
    if (found == decoding.rule->candidates) best.pop_back();  // it was there to be compared
  }
  return candidates;
}

/// The histories of all groups end to end, which is how the reference looks them up (for several
/// groups it thereby finds those of another group; the values are kept as it returns them).
Sequences concatenate(const std::vector<Sequences>& histories) {
  Sequences all;
  for (const Sequences& group : histories) all.insert(all.end(), group.begin(), group.end());
  return all;
}

/// The beams in these rows. `histories` are empty unless the config asks for them.
std::vector<Beam> beams_of(const Decoding& decoding, const std::vector<std::int32_t>& rows,
                           const Sequences& histories) {
  std::vector<Beam> beams;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    beams.push_back({decoding.sequences[rows[i]], histories.empty() ? Sequence() : histories[i],
                     decoding.logprobs[rows[i]]});
  }
  return beams;
}

}  // namespace

GenerationOutput beam_search(Decoding decoding) {
  const GenerationConfig& config = decoding.config;
  const std::int64_t vocab_size = decoding.model.vocab_size();
  const std::int64_t group_size = config.num_beams / config.num_beam_groups;
  for (std::int64_t r = 0; r < decoding.model.batch_size() * config.num_beams; ++r)
    decoding.beam_scores.push_back(config.do_sample || r % group_size == 0 ? 0.0f : kNotStarted);
  decoding.start(config.num_beams, config.output_hidden_states ? SequenceModel::KeepHidden::kAll
                                                               : SequenceModel::KeepHidden::kNone);
  const auto rows = static_cast<std::int64_t>(decoding.sequences.size());
  BeamScorer scorer(config, decoding.prompts);
  std::vector<Sequences> histories;  // by group; only kept for output_scores
  if (config.output_scores) {
    histories.assign(config.num_beam_groups, Sequences(decoding.prompts * group_size));
  }

  for (;;) {
    Scores processed(rows, config.output_scores ? vocab_size : 0);
    Sequence tokens(rows);
    Logprobs logprobs(rows);
    std::vector<std::int32_t> parents(rows);
    Sequences group_tokens;
    for (std::int64_t group = 0; group < config.num_beam_groups; ++group) {
      const std::vector<std::int32_t> group_rows = rows_of(group, decoding.prompts, config);
      std::vector<BeamCandidates> candidates;
      if (decoding.rule) candidates = chosen(decoding, scorer);
      if (candidates.empty()) {
        if (decoding.rule) decoding.read_logits();
        candidates = choose(decoding, group_rows, group_tokens, processed);
      }
      const NextBeams next = scorer.process(
          group, beams_of(decoding, group_rows, concatenate(histories)), candidates, vocab_size);

      group_tokens.resize(decoding.prompts);
      for (std::size_t i = 0; i < group_rows.size(); ++i) {
        decoding.beam_scores[group_rows[i]] = next.scores[i];
        tokens[group_rows[i]] = next.tokens[i];
        logprobs[group_rows[i]] = next.logprobs[i];
        parents[group_rows[i]] = group_rows[next.parents[i]];
        group_tokens[i / group_size].push_back(next.tokens[i]);
      }
      if (config.output_scores) {
        histories[group] = gather(histories[group], next.parents);
        for (std::size_t i = 0; i < next.parents.size(); ++i) {
          histories[group][i].push_back(next.parents[i]);
        }
      }
    }
    decoding.record(processed);

    decoding.append(tokens, logprobs, parents);
    if (scorer.all_done() || decoding.should_stop()) break;
    decoding.reorder(parents);
    decoding.advance(tokens);
  }
  std::vector<std::int32_t> all(rows);
  std::iota(all.begin(), all.end(), 0);
  scorer.finalize(beams_of(decoding, all, concatenate(histories)), decoding.beam_scores,
                  decoding.output);
  return std::move(decoding.output);
}

}  // namespace internvl
