#include "generation/decoding.h"

#include <algorithm>

#include "core/error.h"
#include "generation/prompt_lookup.h"

namespace internvl {
namespace {

std::optional<TokenRule> rule_of(const SequenceModel& model, const GenerationConfig& config,
                                 const LogitsProcessors& processors,
                                 const LogitsProcessors& warpers) {
  const std::optional<TokenRule> rule = make_token_rule(config, processors, warpers);
  return rule && model.can_choose(*rule) ? rule : std::nullopt;
}

}  // namespace

Decoding::Decoding(SequenceModel& sequence_model, const GenerationConfig& generation_config,
                   const GenerationHooks& generation_hooks)
    : model(sequence_model),
      config(generation_config),
      hooks(generation_hooks),
      processors(make_logits_processors(config, hooks.processors)),
      warpers(config.do_sample ? make_logits_warpers(config) : LogitsProcessors()),
      sampler(config.seed),
      rule(rule_of(model, config, processors, warpers)),
      start_time_(std::chrono::steady_clock::now()) {}

void Decoding::start(std::int64_t rows_per_prompt, SequenceModel::KeepHidden keep_hidden) {
  poll();
  prompts = model.batch_size();
  const std::vector<std::int32_t> parents = parents_of_copies(prompts, rows_per_prompt);
  sequences.assign(parents.size(), {config.bos_token_id});
  if (!config.prompt_ids.empty()) {
    check(static_cast<std::int64_t>(config.prompt_ids.size()) == prompts, "prompt_ids: expected ",
          prompts, " prompts, got ", config.prompt_ids.size());
    for (std::size_t r = 0; r < parents.size(); ++r) sequences[r] = config.prompt_ids[parents[r]];
  }
  logprobs.assign(parents.size(), {});
  finished_.assign(parents.size(), false);

  keep_hidden_ = keep_hidden != SequenceModel::KeepHidden::kNone;
  model.keep_hidden_states(keep_hidden);
  prepare_choice();
  model.prefill(rows_per_prompt);
  finish_pass();
  if (keep_hidden_ && rows_per_prompt > 1) hidden = gather_rows(hidden, parents);
}

void Decoding::reorder(const std::vector<std::int32_t>& parents) {
  bool identity = static_cast<std::int64_t>(parents.size()) == model.batch_size();
  for (std::size_t r = 0; identity && r < parents.size(); ++r) {
    identity = parents[r] == static_cast<std::int32_t>(r);
  }
  if (!identity) model.reorder(parents);
}

void Decoding::select(const std::vector<std::int32_t>& parents) {
  reorder(parents);
  set_logits(gather_rows(logits, parents));
  if (keep_hidden_) hidden = gather_rows(hidden, parents);
}

void Decoding::advance(const Sequence& tokens) {
  poll();
  ++step;
  prepare_choice();
  const std::vector<std::int32_t> inputs(tokens.begin(), tokens.end());
  model.step(inputs.data());
  finish_pass();
}

void Decoding::prepare_choice() {
  if (!rule) return;
  inputs_ = make_token_inputs(config, *rule, sequences, beam_scores, sampler, step);
  model.prepare_choice(inputs_);
}

void Decoding::finish_pass() {
  if (keep_hidden_) hidden = model.hidden_states();
  if (!rule) read_logits();
}

TokenChoice Decoding::choose_by_rule() { return model.choose(*rule, inputs_); }

void Decoding::read_logits() {
  Scores next(model.batch_size(), model.vocab_size());
  model.read_logits(next.values.data());
  set_logits(std::move(next));
}

void Decoding::set_logits(Scores next) {
  logits = std::move(next);
  if (!config.output_logprobs) return;
  normalizers_.clear();
  for (std::int64_t r = 0; r < logits.rows; ++r)
    normalizers_.push_back(log_sum_exp(logits.row(r), logits.vocab_size));
}

float Decoding::logprob(std::int64_t r, std::int64_t token) const {
  if (!config.output_logprobs) return 0.0f;
  return static_cast<float>(logits.row(r)[token] - normalizers_[r]);
}

bool Decoding::append(Sequence tokens, const Logprobs& token_logprobs) {
  bool all_finished = true;
  for (std::size_t r = 0; r < sequences.size(); ++r) {
    if (finished_[r]) {
      check_pad_token(config, model.vocab_size());
      tokens[r] = config.pad_token_id;
    } else if (config.output_logprobs) {
      logprobs[r].push_back(token_logprobs[r]);
    }
    sequences[r].push_back(tokens[r]);
    if (config.is_eos(tokens[r])) finished_[r] = true;
    all_finished = all_finished && finished_[r];
  }
  if (hooks.put) hooks.put(tokens);
  return all_finished;
}

void Decoding::append(const Sequence& tokens, const Logprobs& token_logprobs,
                      const std::vector<std::int32_t>& parents) {
  Sequences longer;
  std::vector<Logprobs> longer_logprobs;
  for (std::size_t r = 0; r < parents.size(); ++r) {
    longer.push_back(sequences[parents[r]]);
    longer.back().push_back(tokens[r]);
    longer_logprobs.push_back(logprobs[parents[r]]);
    if (config.output_logprobs) longer_logprobs.back().push_back(token_logprobs[r]);
  }
  sequences = std::move(longer);
  logprobs = std::move(longer_logprobs);
}

void Decoding::record(const Scores& processed) {
  if (config.output_logits) output.logits.push_back(logits);
  if (config.output_scores) output.scores.push_back(processed);
  if (config.output_hidden_states) output.hidden_states.push_back(hidden);
}

Sequence Decoding::last_tokens() const {
  Sequence tokens;
  for (const Sequence& sequence : sequences) tokens.push_back(sequence.back());
  return tokens;
}

bool Decoding::should_stop() const {
  if (length() >= config.max_length) return true;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_time_;
  if (elapsed.count() > config.max_time) return true;
  return hooks.should_stop && hooks.should_stop(sequences, output.scores);
}

void Decoding::poll() const {
  if (hooks.poll) hooks.poll();
}

void check_pad_token(const GenerationConfig& config, std::int64_t vocab_size) {
  check(config.pad_token_id >= 0 && config.pad_token_id < vocab_size, "pad_token_id ",
        config.pad_token_id, " is outside the vocabulary of ", vocab_size,
        ", and a finished row of the batch needs it.");
}

HiddenStates gather_rows(const HiddenStates& states, const std::vector<std::int32_t>& parents) {
  HiddenStates result = states;
  result.batch = static_cast<std::int64_t>(parents.size());
  const std::int64_t row_size = states.tokens * states.hidden_size;
  result.values.resize(states.layers * result.batch * row_size);
  auto target = result.values.begin();
  for (std::int64_t layer = 0; layer < states.layers; ++layer) {
    for (std::int32_t parent : parents) {
      const auto source = states.values.begin() + (layer * states.batch + parent) * row_size;
      target = std::copy_n(source, row_size, target);
    }
  }
  return result;
}

GenerationOutput generate(SequenceModel& model, const GenerationConfig& config,
                          const GenerationHooks& hooks) {
  if (config.prompt_lookup_num_tokens > 0) {
    PromptLookup lookup(model, config);
    GenerationOutput output = token_search(Decoding(lookup, config, hooks));
    lookup.drop_candidates();
    return output;
  }
  Decoding decoding(model, config, hooks);
  if (config.num_beams > 1) return beam_search(std::move(decoding));
  if (config.penalty_alpha > 0.0) return contrastive_search(std::move(decoding));
  return token_search(std::move(decoding));
}

}  // namespace internvl
