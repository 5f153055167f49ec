// What a call of generate() does. The Python side resolves defaults and validates; names are those
// of the transformers GenerationConfig, whose behaviour (4.37.2) the searches reproduce.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace internvl {

using Sequence = std::vector<std::int64_t>;
using Sequences = std::vector<Sequence>;

struct GenerationConfig {
  bool do_sample = false;
  std::int64_t num_return_sequences = 1;
  std::uint64_t seed = 0;

  Sequences prompt_ids;  ///< of equal length, what sequences begin with; none: bos_token_id
  std::int64_t bos_token_id = 1;  ///< what prompts of embeddings begin with
  std::int64_t pad_token_id = 2;  ///< what finished rows of a batch get
  Sequence eos_token_id;          ///< each of them ends a sequence
  std::int64_t max_length = 20;   ///< tokens, the first one included
  double max_time = std::numeric_limits<double>::infinity();  ///< seconds

  // Beam search, if there are several beams.
  std::int64_t num_beams = 1;
  std::int64_t num_beam_groups = 1;
  double length_penalty = 1.0;
  std::optional<bool> early_stopping = false;  ///< nothing stands for "never"

  // Contrastive search, if positive. It takes its number of candidates from top_k.
  double penalty_alpha = 0.0;

  // Prompt lookup, if positive: tokens that are tried after the last one, in the same pass.
  std::int64_t prompt_lookup_num_tokens = 0;
  std::int64_t max_matching_ngram_size = 2;

  // Logits processors, in the order in which they are applied.
  std::vector<std::pair<Sequence, float>> sequence_bias;
  double diversity_penalty = 0.0;
  double repetition_penalty = 1.0;
  std::int64_t no_repeat_ngram_size = 0;
  Sequences bad_words_ids;
  Sequence processed_eos_token_id;  ///< those that lengths act on: none after eos_token_id=None
  std::int64_t min_length = 0;      ///< tokens, the first one included
  std::int64_t min_new_tokens = 0;
  std::optional<std::int64_t> forced_bos_token_id;
  Sequence forced_eos_token_id;
  bool remove_invalid_values = false;
  std::optional<std::pair<std::int64_t, double>> exponential_decay_length_penalty;
  Sequence suppress_tokens;
  Sequence begin_suppress_tokens;
  std::int64_t begin_index = 1;  ///< length at which begin_suppress_tokens applies
  std::map<std::int64_t, std::int64_t> forced_decoder_ids;  ///< length -> token
  bool renormalize_logits = false;

  // Logits warpers: sampling only, after the processors.
  double temperature = 1.0;
  std::int64_t top_k = 0;  ///< 0: all
  double top_p = 1.0;
  double typical_p = 1.0;
  double epsilon_cutoff = 0.0;
  double eta_cutoff = 0.0;
  std::int64_t min_tokens_to_keep = 1;

  bool output_scores = false;
  bool output_logits = false;
  bool output_hidden_states = false;
  bool output_logprobs = false;

  std::int64_t prompt_length() const {
    return prompt_ids.empty() ? 1 : static_cast<std::int64_t>(prompt_ids.front().size());
  }

  /// What beam search chooses from for each beam: enough that so many go on if the rest ends.
  std::int64_t candidates_per_beam() const {
    return std::max<std::int64_t>(2, 1 + static_cast<std::int64_t>(eos_token_id.size()));
  }

  bool is_eos(std::int64_t token) const {
    return std::find(eos_token_id.begin(), eos_token_id.end(), token) != eos_token_id.end();
  }
};

}  // namespace internvl
