#include "model/chat_session.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace internvl {
namespace {

// Rows of one prefill pass: enough to keep the multiplications busy, few enough to bound memory.
constexpr std::int64_t kPrefillRows = 512;

}  // namespace

ChatSession::ChatSession(std::shared_ptr<const InternVL> model, Prompts prompts, ImageRows images,
                         CheckInterrupt check_interrupt, Observer observer)
    : model_(std::move(model)),
      prompts_(std::move(prompts)),
      images_(std::move(images)),
      check_interrupt_(std::move(check_interrupt)),
      observer_(std::move(observer)),
      sequence_length_(prompts_.length) {
  check(prompts_.batch > 0 && prompts_.length > 0, "input_ids: expected at least one token, got (",
        prompts_.batch, ", ", prompts_.length, ")");
  if (!images_.features.empty()) {
    const std::int64_t wanted =
        std::count(prompts_.ids.begin(), prompts_.ids.end(), images_.image_token_id);
    check(wanted == images_.rows, "pixel_values: the images make ", images_.rows,
          " rows, but input_ids hold ", wanted, " image tokens (id ", images_.image_token_id,
          "); num_patches_list, the number of <image> tags and the tiles must agree");
  }
  rows_.assign(prompts_.batch, Row{KvCache(model_->decoder().kv_shape(), model_->backend()), 0});
}

std::vector<ChatSession::PromptToken> ChatSession::plan_prompt() {
  std::vector<PromptToken> plan;
  std::int64_t next_image_row = 0;
  uniform_.assign(prompts_.batch, false);
  for (std::int64_t b = 0; b < prompts_.batch; ++b) {
    const std::int32_t* ids = prompts_.ids.data() + b * prompts_.length;
    const std::uint8_t* mask = prompts_.attention_mask.data() + b * prompts_.length;
    uniform_[b] = std::none_of(mask, mask + prompts_.length, [](std::uint8_t m) { return m != 0; });
    std::int32_t position = 0;
    for (std::int64_t t = 0; t < prompts_.length; ++t) {
      const bool image = !images_.features.empty() && ids[t] == images_.image_token_id;
      const std::int64_t image_row = image ? next_image_row++ : -1;
      const bool last = t == prompts_.length - 1;
      const bool visible = mask[t] != 0;
      if (!visible && !last && !uniform_[b]) continue;
      plan.push_back(
          {b, t, ids[t], visible ? position : 1, image_row, visible || uniform_[b], last});
      if (visible) ++position;
    }
    rows_[b].next_position = position;
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

Observer ChatSession::hidden_states_observer(std::vector<std::int64_t> slots) {
  if (keep_ == KeepHidden::kNone) return observer_;
  // A row's values go to its place in (layers, batch, tokens): slots[r] = batch * tokens + token.
  const std::int64_t last_layer = model_->config().decoder.num_hidden_layers;
  return [this, slots = std::move(slots), last_layer](const std::string& name, Tensor value) {
    if (observer_) observer_(name, value);
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
      std::copy_n(value.row<float>(r), value.cols,
                  states.values.begin() + slot * states.hidden_size);
    }
  };
}

void ChatSession::prefill_chunk(const PromptToken* tokens, std::int64_t count, float* last_hidden) {
  const Decoder& decoder = model_->decoder();
  const DecoderConfig& config = model_->config().decoder;
  const Buffer storage = model_->backend().allocate(count * config.hidden_size * sizeof(float));
  const Tensor hidden = matrix(storage.data(), DType::kFloat32, count, config.hidden_size);

  DecoderBatch batch;
  batch.sequence_length = sequence_length_;
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> slots;
  for (std::int64_t i = 0; i < count;) {
    const PromptToken& first = tokens[i];
    std::int64_t rows = 1;
    while (i + rows < count && tokens[i + rows].row == first.row &&
           tokens[i + rows].stores == first.stores)
      ++rows;
    KvCache& cache = rows_[first.row].cache;
    const std::int64_t past = cache.length();
    if (first.stores) {
      cache.reserve(rows);
      cache.advance(rows);
    }
    batch.segments.push_back({i, rows, past, cache.pages(), first.stores,
                              uniform_[first.row] ? 0.0f : config.attention_scale()});
    i += rows;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    batch.positions.push_back(tokens[i].position);
    ids.push_back(tokens[i].id);
    slots.push_back(tokens[i].row * prompts_.length + tokens[i].column);
  }
  decoder.embed(hidden, ids);
  for (std::int64_t i = 0; i < count; ++i)
    if (tokens[i].image_row >= 0)
      std::copy_n(images_.features.data() + tokens[i].image_row * config.hidden_size,
                  config.hidden_size, hidden.row<float>(i));
  decoder.forward(hidden, batch, hidden_states_observer(std::move(slots)), check_interrupt_);
  for (std::int64_t i = 0; i < count; ++i)
    if (tokens[i].last)
      std::copy_n(hidden.row<float>(i), config.hidden_size,
                  last_hidden + tokens[i].row * config.hidden_size);
}

void ChatSession::prefill(float* logits) {
  const DecoderConfig& config = model_->config().decoder;
  const std::vector<PromptToken> plan = plan_prompt();
  clear_hidden_states(prompts_.batch, prompts_.length);
  std::vector<float> last_hidden(prompts_.batch * config.hidden_size);
  const std::int64_t total = static_cast<std::int64_t>(plan.size());
  for (std::int64_t first = 0; first < total; first += kPrefillRows) {
    prefill_chunk(plan.data() + first, std::min(kPrefillRows, total - first), last_hidden.data());
  }
  for (std::int64_t b = 0; b < prompts_.batch; ++b)
    if (uniform_[b]) rows_[b].cache.clear();  // later tokens do not see masked ones
  images_.features = {};
  model_->decoder().logits(
      matrix(logits, DType::kFloat32, prompts_.batch, config.vocab_size),
      matrix(last_hidden.data(), DType::kFloat32, prompts_.batch, config.hidden_size));
}

void ChatSession::reorder(const std::vector<std::int32_t>& parents) {
  std::vector<Row> rows;
  rows.reserve(parents.size());
  for (const std::int32_t parent : parents) rows.push_back(rows_[parent]);
  rows_ = std::move(rows);
}

void ChatSession::step(const std::int32_t* tokens, float* logits) {
  const DecoderConfig& config = model_->config().decoder;
  const std::int64_t count = batch_size();
  const Buffer storage = model_->backend().allocate(count * config.hidden_size * sizeof(float));
  const Tensor hidden = matrix(storage.data(), DType::kFloat32, count, config.hidden_size);

  ++sequence_length_;
  DecoderBatch batch;
  batch.sequence_length = sequence_length_;
  std::vector<std::int64_t> slots;
  for (std::int64_t r = 0; r < count; ++r) {
    Row& row = rows_[r];
    row.cache.reserve(1);
    batch.segments.push_back(
        {r, 1, row.cache.length(), row.cache.pages(), true, config.attention_scale()});
    batch.positions.push_back(row.next_position++);
    row.cache.advance(1);
    slots.push_back(r);
  }
  clear_hidden_states(count, 1);
  model_->decoder().embed(hidden, std::vector<std::int32_t>(tokens, tokens + count));
  model_->decoder().forward(hidden, batch, hidden_states_observer(std::move(slots)),
                            check_interrupt_);
  model_->decoder().logits(matrix(logits, DType::kFloat32, count, config.vocab_size), hidden);
}

}  // namespace internvl
