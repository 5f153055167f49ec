#include "model/chat_session.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "model/rope.h"

namespace internvl {
namespace {

// Rows of one pass at most: enough to keep the multiplications busy, few enough to bound memory.
constexpr std::int64_t kPrefillRows = 512;

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
    for (const auto& recorder : recorders_) recorder->append(name, value, sequences);
    if (keep_ != KeepHidden::kNone) keep_layer(name, value, slots);
  };
}

void ChatSession::keep_layer(const std::string& name, Tensor value,
                             const std::vector<std::int64_t>& slots) {
  const std::int64_t last_layer = model_->config().decoder.num_hidden_layers;
  const bool is_norm = name == "llm.norm";
  std::int64_t layer = 0;
  if (keep_ == KeepHidden::kLast) {
    if (!is_norm) return;
  } else if (is_norm) {
    layer = last_layer;  // the reference's last entry is the norm's output
  } else if (name != "llm.inputs_embeds") {
    layer = std::stoll(name.substr(std::string("llm.layer").size()));
    if (layer == last_layer) return;
  }
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
  std::vector<std::int64_t> slots;
  std::vector<std::int64_t> sequences;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t slot = tokens[i].row * prompts_.length + tokens[i].column;
    slots.push_back(slot);
    ids.push_back(prompts_.ids[slot]);
    batch.positions.push_back(prompts_.position_ids[slot]);
    sequences.push_back(prompts_.attention_mask[slot] != 0 ? tokens[i].row : -1);
  }
  model_->decoder().embed(hidden, ids);
  for (std::int64_t i = 0; i < count; ++i)
    if (const std::int32_t row = prompts_.embedding_rows[slots[i]]; row >= 0)
      std::copy_n(prompts_.embeddings.data() + row * hidden.cols, hidden.cols,
                  hidden.row<float>(i));
  model_->decoder().forward(hidden, batch, observer(std::move(slots), std::move(sequences)),
                            check_interrupt_);
}

void ChatSession::run(const std::vector<Token>& tokens, std::vector<KvCache>& caches, float scale,
                      Tensor hidden, std::int64_t positions) {
  const std::int64_t width = model_->config().decoder.hidden_size;
  const std::int64_t first_wanted = prompts_.length - positions;
  const std::int64_t total = static_cast<std::int64_t>(tokens.size());
  const Buffer storage =
      model_->backend().allocate(std::min(total, kPrefillRows) * width * sizeof(float));
  for (std::int64_t first = 0; first < total; first += kPrefillRows) {
    const std::int64_t count = std::min(kPrefillRows, total - first);
    const Tensor pass = matrix(storage.data(), DType::kFloat32, count, width);
    run_pass(tokens.data() + first, pass, caches, scale);
    for (std::int64_t i = 0; i < count; ++i) {
      const Token& token = tokens[first + i];
      if (token.column >= first_wanted)
        std::copy_n(pass.row<float>(i), width,
                    hidden.row<float>(token.row * positions + token.column - first_wanted));
    }
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

void ChatSession::prefill(float* logits) {
  const DecoderConfig& config = model_->config().decoder;
  std::vector<float> storage(prompts_.batch * config.hidden_size);
  const Tensor hidden = matrix(storage.data(), DType::kFloat32, prompts_.batch, config.hidden_size);
  forward(hidden, 1);
  model_->decoder().logits(matrix(logits, DType::kFloat32, prompts_.batch, config.vocab_size),
                           hidden);
}

void ChatSession::reorder(const std::vector<std::int32_t>& parents) {
  std::vector<KvCache> rows;
  std::vector<std::vector<std::int32_t>> appended;
  rows.reserve(parents.size());
  for (const std::int32_t parent : parents) {
    rows.push_back(cache_.rows[parent]);
    appended.push_back(appended_[parent]);
  }
  cache_.rows = std::move(rows);
  appended_ = std::move(appended);
  for (const auto& recorder : recorders_) recorder->reorder(parents);
}

std::int64_t ChatSession::max_extension() const {
  // One pass has one rotary table: where it depends on the length, every token needs its own.
  const bool alone = batch_size() == 1 && keep_ == KeepHidden::kNone && recorders_.empty();
  const std::int64_t left = unscaled_length(model_->config().decoder) - cache_.length;
  return alone ? std::clamp<std::int64_t>(left, 1, kPrefillRows) : 1;
}

void ChatSession::crop(std::int64_t count) {
  cache_.length -= count;
  for (KvCache& cache : cache_.rows) cache.truncate(cache.length() - count);
  for (auto& tokens : appended_) tokens.resize(tokens.size() - count);
}

void ChatSession::append(const std::int32_t* tokens, std::int64_t count, float* logits) {
  const DecoderConfig& config = model_->config().decoder;
  const std::int64_t total = batch_size() * count;
  const Buffer storage = model_->backend().allocate(total * config.hidden_size * sizeof(float));
  const Tensor hidden = matrix(storage.data(), DType::kFloat32, total, config.hidden_size);

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
  model_->decoder().embed(hidden, std::vector<std::int32_t>(tokens, tokens + total));
  model_->decoder().forward(hidden, batch, observer(std::move(slots), std::move(sequences)),
                            check_interrupt_);
  model_->decoder().logits(matrix(logits, DType::kFloat32, total, config.vocab_size), hidden);
}

}  // namespace internvl
