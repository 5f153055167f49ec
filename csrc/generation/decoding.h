// What all searches share: the growing sequences, the model's last logits, the stop conditions and
// the output.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "generation/generate.h"
#include "generation/sampler.h"
#include "generation/token_rule.h"

namespace internvl {

/// The tokens of a step, one a row.
struct Choice {
  Sequence tokens;
  Logprobs logprobs;  ///< read only if the config asks for log-probabilities
};

class Decoding {
 public:
  Decoding(SequenceModel& model, const GenerationConfig& config, const GenerationHooks& hooks);

  /// Prefills the prompts and makes each of them `rows_per_prompt` rows, side by side. As
  /// advance(), it reads the logits unless there is a rule.
  void start(std::int64_t rows_per_prompt, SequenceModel::KeepHidden keep_hidden);

  /// Row r continues row parents[r]: the model only, the caller sees to `sequences`.
  void reorder(const std::vector<std::int32_t>& parents);

  /// As reorder(), for `logits` and `hidden` as well.
  void select(const std::vector<std::int32_t>& parents);

  /// Feeds a token a row to the model; `logits` and `hidden` are then those of the new position.
  void advance(const Sequence& tokens);

  /// What the model chooses after start() or advance(), by the rule that there is.
  TokenChoice choose_by_rule();

  /// Makes `logits` those of the model's last pass.
  void read_logits();

  /// Adds a token to each row and streams it; rows that have ended get pad_token_id in its place.
  /// `token_logprobs` of the rows that go on are kept if the config asks for them. Returns whether
  /// all rows have ended now.
  bool append(Sequence tokens, const Logprobs& token_logprobs);

  /// Row r becomes row parents[r] with tokens[r] added: the caller sees to its end.
  void append(const Sequence& tokens, const Logprobs& token_logprobs,
              const std::vector<std::int32_t>& parents);

  /// Of a token that follows row r; 0 unless the config asks for log-probabilities.
  float logprob(std::int64_t r, std::int64_t token) const;

  /// Puts what output_logits, output_scores and output_hidden_states ask for into `output`.
  void record(const Scores& processed);

  bool should_stop() const;
  Sequence last_tokens() const;
  std::int64_t length() const { return static_cast<std::int64_t>(sequences.front().size()); }

  SequenceModel& model;
  const GenerationConfig& config;
  const GenerationHooks& hooks;
  const LogitsProcessors processors;
  const LogitsProcessors warpers;  ///< empty unless do_sample
  const Sampler sampler;
  /// How the model itself chooses; nothing where the host has to, from `logits`.
  const std::optional<TokenRule> rule;

  std::int64_t prompts = 0;
  std::uint32_t step = 0;
  Sequences sequences;
  std::vector<Logprobs> logprobs;  ///< of each row's tokens so far
  std::vector<float> beam_scores;  ///< of each row; beam search sets them
  Scores logits;
  HiddenStates hidden;  ///< empty unless asked for
  GenerationOutput output;

 private:
  void poll() const;
  /// Before and after a pass of the model.
  void prepare_choice();
  void finish_pass();
  void set_logits(Scores next);

  std::chrono::steady_clock::time_point start_time_;
  std::vector<bool> finished_;
  TokenInputs inputs_;               // of the rule
  std::vector<double> normalizers_;  // log(sum(exp)) of each row of logits; if asked for
  bool keep_hidden_ = false;
};

/// ValueError unless pad_token_id can be fed to the model: for rows that end before the others.
void check_pad_token(const GenerationConfig& config, std::int64_t vocab_size);

HiddenStates gather_rows(const HiddenStates& states, const std::vector<std::int32_t>& parents);

GenerationOutput token_search(Decoding decoding);
GenerationOutput beam_search(Decoding decoding);
GenerationOutput contrastive_search(Decoding decoding);

}  // namespace internvl
