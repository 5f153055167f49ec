#include "model/chat_session.h"

#include <algorithm>
#include <utility>

#include "backend/transfer.h"
#include "core/error.h"
#include "model/record.h"
#include "model/rope.h"

namespace internvl {
namespace {

constexpr float kUniform = 0.0f;  // a scale of the scores that makes all weights equal

}  // namespace

ChatSession::ChatSession(std::shared_ptr<const InternVL> model, Prompts prompts, BatchCache past,
                         Recorders recorders, CheckInterrupt check_interrupt)
    : model_(std::move(model)),
      prompts_(std::move(prompts)),
      cache_(std::move(past)),
      recorders_(std::move(recorders)),
      check_interrupt_(std::move(check_interrupt)) {
  check(prompts_.batch > 0 && prompts_.length > 0, "input_ids: expected at least one token, got (",
        prompts_.batch, ", ", prompts_.length, ")");
  if (cache_.rows.empty())
    cache_.rows.assign(prompts_.batch, KvCache(model_->decoder().kv_shape(), model_->backend()));
  check(batch_size() == prompts_.batch, "past_key_values: expected the cache of ", prompts_.batch,
        " sequences, as in input_ids, got ", batch_size());
  reused_.assign(prompts_.batch, 0);
  appended_.assign(prompts_.batch, {});
}

void ChatSession::reuse(std::int64_t row, KvCache stored) {
  check(row >= 0 && row < prompts_.batch, "row: expected 0 to ", prompts_.batch - 1, ", got ", row);
  check(cache_.length == 0 && recorders_.empty(),
        "reuse: expected a session that continues no cache and records nothing");
  const std::uint8_t* mask = prompts_.attention_mask.data() + row * prompts_.length;
  const std::int64_t tokens =
      std::count_if(mask, mask + prompts_.length, [](std::uint8_t m) { return m != 0; });
  check(stored.length() < tokens, "stored: expected fewer than the prompt's ", tokens,
        " tokens, got ", stored.length());
  reused_[row] = stored.length();
  cache_.rows[row] = std::move(stored);
}

std::vector<std::int64_t> ChatSession::prompt(std::int64_t row) const {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = row * prompts_.length; i < (row + 1) * prompts_.length; ++i)
    if (prompts_.attention_mask[i] != 0) ids.push_back(prompts_.ids[i]);
  return ids;
}

ChatSession::Plan ChatSession::plan(std::int64_t positions) const {
  const std::int64_t first_wanted = prompts_.length - positions;
  Plan plan;
  for (std::int64_t b = 0; b < prompts_.batch; ++b) {
    const std::uint8_t* mask = prompts_.attention_mask.data() + b * prompts_.length;
    const std::uint8_t* end = mask + prompts_.length;
    std::int64_t skipped = reused_[b];
    const std::int64_t leading =
        cache_.rows[b].length() > 0
            ? 0
            : std::find_if(mask, end, [](std::uint8_t m) { return m != 0; }) - mask;
    if (first_wanted < leading)
      for (std::int64_t t = 0; t < leading; ++t) plan.blind.push_back({b, t, true});
    for (std::int64_t t = leading; t < prompts_.length; ++t) {
      if (mask[t] != 0 && skipped > 0) {
        --skipped;
      } else if (mask[t] != 0 || t >= first_wanted) {
        plan.seeing.push_back({b, t, mask[t] != 0});
      }
    }
  }
  return plan;
}

void ChatSession::clear_hidden_states(std::int64_t batch, std::int64_t tokens) {
  if (keep_ == KeepHidden::kNone) return;
  const DecoderConfig& config = model_->config().decoder;
  const std::int64_t layers = keep_ == KeepHidden::kAll ? config.num_hidden_layers + 1 : 1;
  hidden_states_.layers = layers;
  hidden_states_.batch = batch;
  hidden_states_.tokens = tokens;
  hidden_states_.hidden_size = config.hidden_size;
  hidden_states_.values.assign(layers * batch * tokens * config.hidden_size, 0.0f);
}

Observer ChatSession::observer(std::vector<std::int64_t> slots,
                               std::vector<std::int64_t> sequences) {
  if (keep_ == KeepHidden::kNone && recorders_.empty()) return {};
  return [this, slots = std::move(slots), sequences = std::move(sequences)](const std::string& name,
                                                                            Tensor value) {
    record(recorders_, model_->backend(), name, value, sequences);
    if (const std::int64_t layer = kept_layer(name); layer >= 0)
      keep_layer(layer, to_host(model_->backend(), value), slots);
  };
}

std::int64_t ChatSession::kept_layer(const std::string& name) const {
  constexpr std::int64_t kNotKept = -1;
  const std::int64_t last_layer = model_->config().decoder.num_hidden_layers;
  const bool is_norm = name == "llm.norm";  // the reference's last entry is the norm's output
  if (keep_ == KeepHidden::kNone) return kNotKept;
  if (keep_ == KeepHidden::kLast) return is_norm ? 0 : kNotKept;
  if (is_norm) return last_layer;
  if (name == "llm.inputs_embeds") return 0;
  const std::int64_t layer = std::stoll(name.substr(std::string("llm.layer").size()));
  return layer == last_layer ? kNotKept : layer;
}

void ChatSession::keep_layer(std::int64_t layer, Tensor value,
                             const std::vector<std::int64_t>& slots) {
  HiddenStates& states = hidden_states_;
  for (std::int64_t r = 0; r < value.rows; ++r) {
    const std::int64_t slot = layer * states.batch * states.tokens + slots[r];
    std::copy_n(value.row<float>(r), value.cols, states.values.begin() + slot * states.hidden_size);
  }
}

void ChatSession::run_pass(const Token* tokens, Tensor hidden, std::vector<KvCache>& caches,
                           float scale) {
  const std::int64_t count = hidden.rows;
  std::vector<std::int64_t> stored(caches.size());
  for (std::int64_t i = 0; i < count; ++i)
    if (tokens[i].stores) ++stored[tokens[i].row];
  for (std::size_t b = 0; b < caches.size(); ++b)  // before pages() is read: it moves them
    if (stored[b] > 0) caches[b].reserve(stored[b]);

  DecoderBatch batch;
  batch.sequence_length = cache_.length + prompts_.length;
  for (std::int64_t i = 0; i < count;) {
    const Token& first = tokens[i];
    std::int64_t rows = 1;
    while (i + rows < count && tokens[i + rows].row == first.row &&
           tokens[i + rows].stores == first.stores)
      ++rows;
    KvCache& cache = caches[first.row];
    batch.segments.push_back({i, rows, cache.length(), cache.pages(), first.stores, scale});
    if (first.stores) cache.advance(rows);
    i += rows;
  }
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> embedding_rows;
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> sequences;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t slot = tokens[i].row * prompts_.length + tokens[i].column;
    slots.push_back(slot);
    ids.push_back(prompts_.ids[slot]);
    embedding_rows.push_back(prompts_.embedding_rows[slot]);
    batch.positions.push_back(prompts_.position_ids[slot]);
    sequences.push_back(prompts_.attention_mask[slot] != 0 ? tokens[i].row : -1);
  }
  const Decoder& decoder = model_->decoder();
  decoder.embed(hidden, ids);
  if (prompts_.embeddings.tensor().rows > 0)
    model_->backend().gather_rows(hidden, prompts_.embeddings, embedding_rows);
  DecoderPass pass = decoder.make_pass(count);
  decoder.set_batch(pass, std::move(batch));
  decoder.forward(hidden, pass, observer(std::move(slots), std::move(sequences)), check_interrupt_);
}

void ChatSession::run(const std::vector<Token>& tokens, std::vector<KvCache>& caches, float scale,
                      Tensor hidden, std::int64_t positions) {
  const std::int64_t width = model_->config().decoder.hidden_size;
  const std::int64_t first_wanted = prompts_.length - positions;
  const std::int64_t total = static_cast<std::int64_t>(tokens.size());
  const Backend& backend = model_->backend();
  const std::int64_t pass_rows = std::min(total, backend.prefill_rows());
  const Matrix storage = backend.matrix(DType::kFloat32, pass_rows, width);
  for (std::int64_t first = 0; first < total; first += pass_rows) {
    const std::int64_t count = std::min(pass_rows, total - first);
    const Tensor pass = storage.tensor().slice_rows(0, count);
    run_pass(tokens.data() + first, pass, caches, scale);
    std::vector<std::int32_t> sources(hidden.rows, -1);
    for (std::int64_t i = 0; i < count; ++i) {
      const Token& token = tokens[first + i];
      if (token.column >= first_wanted)
        sources[token.row * positions + token.column - first_wanted] = static_cast<std::int32_t>(i);
    }
    backend.gather_rows(hidden, pass, sources);
  }
}

void ChatSession::forward(Tensor hidden, std::int64_t positions) {
  const bool reuses = std::any_of(reused_.begin(), reused_.end(), [](auto n) { return n > 0; });
  check(!reuses || (positions == 1 && keep_ == KeepHidden::kNone),
        "reuse: hidden states of the whole prompt are asked for");
  for (const auto& recorder : recorders_) recorder->begin(prompts_.batch);
  clear_hidden_states(prompts_.batch, prompts_.length);
  const Plan tokens = plan(positions);
  run(tokens.seeing, cache_.rows, model_->config().decoder.attention_scale(), hidden, positions);
  std::vector<KvCache> copies = cache_.rows;  // no token sees what the blind ones store
  run(tokens.blind, copies, kUniform, hidden, positions);
  cache_.length += prompts_.length;
  prompts_.embeddings = {};
}

void ChatSession::prefill(std::int64_t copies) {
  prepare_step(prompts_.batch);
  forward(step_.hidden, 1);
  model_->decoder().logits(step_.logits, step_.hidden, step_.pass.normed);
  if (copies == 1) return;
  const Step prompts = std::exchange(step_, {});
  const std::vector<std::int32_t> parents = parents_of_copies(prompts_.batch, copies);
  reorder(parents);
  prepare_step(batch_size());
  model_->backend().gather_rows(step_.logits, prompts.logits, parents);
}

void ChatSession::reorder(const std::vector<std::int32_t>& parents) {
  std::vector<KvCache> rows;
  std::vector<std::vector<std::int32_t>> appended;
  rows.reserve(parents.size());
  for (const std::int32_t parent : parents) {
    rows.push_back(cache_.rows[parent]);
    appended.push_back(appended_[parent]);
  }
  if (parents.size() != cache_.rows.size()) step_ = {};
  cache_.rows = std::move(rows);
  appended_ = std::move(appended);
  for (const auto& recorder : recorders_) recorder->reorder(parents);
}

std::int64_t ChatSession::max_extension() const {
  // One pass has one rotary table: where it depends on the length, every token needs its own.
  const bool alone = batch_size() == 1 && keep_ == KeepHidden::kNone && recorders_.empty();
  const std::int64_t left = unscaled_length(model_->config().decoder) - cache_.length;
  return alone ? std::clamp<std::int64_t>(left, 1, model_->backend().extension_rows()) : 1;
}

void ChatSession::crop(std::int64_t count) {
  cache_.length -= count;
  for (KvCache& cache : cache_.rows) cache.truncate(cache.length() - count);
  for (auto& tokens : appended_) tokens.resize(tokens.size() - count);
}

void ChatSession::prepare_step(std::int64_t rows) {
  if (step_.hidden.tensor().rows == rows) return;
  const DecoderConfig& config = model_->config().decoder;
  const Backend& backend = model_->backend();
  step_ = {model_->decoder().make_pass(rows),
           backend.matrix(DType::kFloat32, rows, config.hidden_size),
           backend.matrix(DType::kFloat32, rows, config.vocab_size), nullptr};
}

void ChatSession::extend(const std::int32_t* tokens, std::int64_t count) {
  const DecoderConfig& config = model_->config().decoder;
  const Decoder& decoder = model_->decoder();
  const Backend& backend = model_->backend();
  const std::int64_t total = batch_size() * count;
  prepare_step(total);

  DecoderBatch batch;
  batch.sequence_length = cache_.length += count;
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> sequences;
  for (std::int64_t r = 0; r < batch_size(); ++r) {
    KvCache& cache = cache_.rows[r];
    cache.reserve(count);
    batch.segments.push_back(
        {r * count, count, cache.length(), cache.pages(), true, config.attention_scale()});
    for (std::int64_t i = 0; i < count; ++i) {
      batch.positions.push_back(static_cast<std::int32_t>(cache.length() + i));
      slots.push_back(r * count + i);
      sequences.push_back(r);
    }
    cache.advance(count);
    appended_[r].insert(appended_[r].end(), tokens + r * count, tokens + (r + 1) * count);
  }
  ++passes_;
  clear_hidden_states(batch_size(), count);
  decoder.embed(step_.hidden, std::vector<std::int32_t>(tokens, tokens + total));
  const std::byte* const table = step_.pass.segments.table.data();
  decoder.set_batch(step_.pass, std::move(batch));
  if (step_.pass.segments.table.data() != table) step_.recording = nullptr;
  const Observer observer_of_rows = observer(std::move(slots), std::move(sequences));
  const auto body = [&] {
    decoder.forward(step_.hidden, step_.pass, observer_of_rows, check_interrupt_);
    decoder.logits(step_.logits, step_.hidden, step_.pass.normed);
  };
  check_interrupt_();  // which a recording does not do
  if (observer_of_rows) {
    body();  // what it sees is not part of a recording
  } else {
    backend.replay(step_.recording, body);
  }
}

void ChatSession::read_logits(float* logits) {
  const Tensor& from = step_.logits.tensor();
  model_->backend().copy(matrix(logits, DType::kFloat32, from.rows, from.cols), from);
}

bool ChatSession::can_choose(const TokenRule& rule) const {
  return model_->backend().can_choose(rule, vocab_size());
}

void ChatSession::prepare_choice(TokenInputs& inputs) { model_->backend().prepare_choice(inputs); }

TokenChoice ChatSession::choose(const TokenRule& rule, const TokenInputs& inputs) {
  return model_->backend().choose(step_.logits, rule, inputs);
}

}  // namespace internvl
