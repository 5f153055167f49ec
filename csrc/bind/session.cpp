// Sessions, the caches that they leave behind, and the activations that they record.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "backend/transfer.h"
#include "bind/bind.h"
#include "bind/gil.h"
#include "bind/signals.h"
#include "core/error.h"
#include "model/chat_session.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using IdArray = py::array_t<std::int32_t, py::array::c_style>;
using MaskArray = py::array_t<std::uint8_t, py::array::c_style>;

/// A batch's keys and values, and the model that they are of.
struct PyCache {
  std::shared_ptr<const InternVL> model;
  BatchCache batch;
};

/// A sequence's keys and values, and the model that they are of.
struct PySequenceCache {
  std::shared_ptr<const InternVL> model;
  KvCache sequence;

  std::int64_t length() const { return sequence.length(); }
  std::size_t page_bytes() const { return sequence.page_bytes(); }

  std::vector<std::uintptr_t> pages() const {
    std::vector<std::uintptr_t> addresses;
    for (std::int64_t p = 0; p < sequence.page_count(); ++p)
      addresses.push_back(reinterpret_cast<std::uintptr_t>(sequence.pages()[p]));
    return addresses;
  }

  PySequenceCache prefix(std::int64_t tokens) const {
    check(tokens >= 0, "tokens: expected no negative number, got ", tokens);
    PySequenceCache result = *this;
    result.sequence.truncate(tokens);
    return result;
  }
};

template <class Array, class T>
void copy_matrix(std::vector<T>& target, const Array& source, const Prompts& prompts,
                 const char* name) {
  check(source.ndim() == 2 && source.shape(0) == prompts.batch && source.shape(1) == prompts.length,
        name, ": expected the shape of input_ids, (", prompts.batch, ", ", prompts.length, ")");
  target.assign(source.data(), source.data() + source.size());
}

std::unique_ptr<ChatSession> start_session(
    std::shared_ptr<InternVL> model, const IdArray& input_ids, const IdArray& embedding_rows,
    const FloatArray& embeddings, const MaskArray& attention_mask, const IdArray& position_ids,
    const std::optional<PyCache>& past, const Recorders& recorders) {
  check(model != nullptr, "model: expected an InternVL, got None");
  check_recorders(recorders);
  check(input_ids.ndim() == 2, "input_ids: expected 2 dimensions (batch, length), got ",
        input_ids.ndim());
  const std::int64_t width = model->config().decoder.hidden_size;
  check(embeddings.ndim() == 2 && embeddings.shape(1) == width, "embeddings: expected rows of ",
        width, " values");
  Prompts prompts;
  prompts.batch = input_ids.shape(0);
  prompts.length = input_ids.shape(1);
  copy_matrix(prompts.ids, input_ids, prompts, "input_ids");
  copy_matrix(prompts.embedding_rows, embedding_rows, prompts, "embedding_rows");
  copy_matrix(prompts.attention_mask, attention_mask, prompts, "attention_mask");
  copy_matrix(prompts.position_ids, position_ids, prompts, "position_ids");
  for (const std::int32_t row : prompts.embedding_rows)
    check(row < embeddings.shape(0), "embedding_rows: row ", row, " of ", embeddings.shape(0));
  for (const std::int32_t position : prompts.position_ids)
    check(position >= 0, "position_ids: expected no negative positions, got ", position);
  prompts.embeddings = copy_to_backend(
      model->backend(),
      matrix(const_cast<float*>(embeddings.data()), DType::kFloat32, embeddings.shape(0), width));
  check(!past || past->model == model,
        "past_key_values: expected a cache of this model in its present dtype");
  return std::make_unique<ChatSession>(std::move(model), std::move(prompts),
                                       past ? past->batch : BatchCache(), recorders, check_signals);
}

py::array_t<float> prefill(ChatSession& session) {
  py::array_t<float> logits({session.batch_size(), session.vocab_size()});
  float* out = logits.mutable_data();
  const GilReleased unlocked;
  session.prefill(1);
  session.read_logits(out);
  return logits;
}

py::array_t<float> step(ChatSession& session, const IdArray& tokens) {
  check(tokens.size() == session.batch_size(), "tokens: expected one for each of ",
        session.batch_size(), " sequences, got ", tokens.size());
  py::array_t<float> logits({session.batch_size(), session.vocab_size()});
  float* out = logits.mutable_data();
  const std::int32_t* in = tokens.data();
  const GilReleased unlocked;
  session.step(in);
  session.read_logits(out);
  return logits;
}

py::tuple forward(ChatSession& session, bool hidden_states) {
  const std::int64_t batch = session.batch_size();
  const std::int64_t length = session.prompts().length;
  const std::int64_t width = session.model().config().decoder.hidden_size;
  py::array_t<float> last({batch, length, width});
  const Tensor target = matrix(last.mutable_data(), DType::kFloat32, batch * length, width);
  {
    const GilReleased unlocked;
    if (hidden_states) session.keep_hidden_states(SequenceModel::KeepHidden::kAll);
    const Output out(session.model().backend(), target);
    session.forward(out, length);
    session.model().decoder().norm(out, out);
    out.finish();
  }
  if (!hidden_states) return py::make_tuple(last, py::none());
  const HiddenStates& states = session.hidden_states();
  return py::make_tuple(
      last, py::array_t<float>({states.layers, states.batch, states.tokens, states.hidden_size},
                               states.values.data()));
}

void reuse(ChatSession& session, std::int64_t row, const PySequenceCache& stored) {
  check(stored.model == session.shared_model(),
        "stored: expected a cache of this model in its present dtype");
  session.reuse(row, stored.sequence);
}

PySequenceCache sequence(const ChatSession& session, std::int64_t row) {
  check(row >= 0 && row < session.batch_size(), "row: expected 0 to ", session.batch_size() - 1,
        ", got ", row);
  return {session.shared_model(), session.cache().rows[row]};
}

PyCache select(const PyCache& cache, const std::vector<std::int64_t>& rows) {
  PyCache result{cache.model, {cache.batch.length, {}}};
  const auto count = static_cast<std::int64_t>(cache.batch.rows.size());
  for (const std::int64_t row : rows) {
    check(row >= 0 && row < count, "rows: expected numbers in [0, ", count, "), got ", row);
    result.batch.rows.push_back(cache.batch.rows[row]);
  }
  return result;
}

py::array_t<float> to_array(const Activations::Rows& rows) {
  std::int64_t count = 0;
  for (const auto& chunk : rows.chunks)
    count += static_cast<std::int64_t>(chunk->size()) / rows.cols;
  py::array_t<float> array({count, rows.cols});
  float* target = array.mutable_data();
  for (const auto& chunk : rows.chunks) target = std::copy(chunk->begin(), chunk->end(), target);
  return array;
}

}  // namespace

void bind_session(py::module_& module) {
  module.attr("KV_PAGE_TOKENS") = kKvPageTokens;
  py::class_<Activations, std::shared_ptr<Activations>>(
      module, "Activations", "Activations by name, of every sequence that calls compute.")
      .def(py::init<std::set<std::string>>(), py::arg("names"))
      .def("recorded", &Activations::recorded, "Names of what was asked for and computed.")
      .def(
          "sequences",
          [](const Activations& activations, const std::string& name) {
            py::list arrays;
            for (const auto& rows : activations.sequences(name)) arrays.append(to_array(rows));
            return arrays;
          },
          py::arg("name"), "A float32 (tokens, width) array for each tile or prompt so far.");
  py::class_<PyCache>(module, "BatchCache", "Keys and values of a batch; immutable.")
      .def_property_readonly("length", [](const PyCache& cache) { return cache.batch.length; })
      .def_property_readonly("batch_size",
                             [](const PyCache& cache) { return cache.batch.rows.size(); })
      .def("select", &select, py::arg("rows"), "A cache of these rows, which may repeat.");
  py::class_<PySequenceCache>(module, "SequenceCache",
                              "Keys and values of one sequence; immutable.")
      .def_property_readonly("length", &PySequenceCache::length)
      .def_property_readonly("pages", &PySequenceCache::pages,
                             "Addresses of its pages, which caches share where they agree.")
      .def_property_readonly("page_bytes", &PySequenceCache::page_bytes)
      .def("prefix", &PySequenceCache::prefix, py::arg("tokens"),
           "A cache of its first tokens, of all where there are fewer.");
  py::class_<ChatSession, SequenceModel>(module, "ChatSession",
                                         "A batch of prompts that grows by a token a step.")
      .def(
          py::init(&start_session), py::arg("model"), py::arg("input_ids"),
          py::arg("embedding_rows"), py::arg("embeddings"), py::arg("attention_mask"),
          py::arg("position_ids"), py::arg("past") = py::none(), py::arg("recorders") = Recorders(),
          "Matrices of (batch, length): int32 ids, int32 rows of `embeddings` that stand for them\n"
          "or -1, uint8 mask, int32 positions. embeddings: float32 (rows, hidden_size).")
      .def("prefill", &prefill, "Runs the prompts, once -> float32 (batch, vocab_size).")
      .def(
          "reuse", &reuse, py::arg("row"), py::arg("stored"),
          "Before prefill(): a SequenceCache with the first unmasked tokens of this prompt, which\n"
          "prefill() then leaves out.")
      .def("step", &step, py::arg("tokens"),
           "Appends int32 tokens (batch) -> float32 (batch, vocab_size) of the new positions.")
      .def("forward", &forward, py::arg("hidden_states"),
           "Runs the prompts, once -> float32 (batch, length, hidden_size), the final norm's\n"
           "output, and with hidden_states that of every layer in front, else None:\n"
           "(layers + 1, batch, length, hidden_size).")
      .def(
          "cache",
          [](const ChatSession& session) {
            return PyCache{session.shared_model(), session.cache()};
          },
          "Keys and values of all tokens so far.")
      .def("sequence", &sequence, py::arg("row"), "Keys and values of one row so far.")
      .def("appended", &ChatSession::appended, py::arg("row"),
           "Tokens of a row behind its prompt, as far as they were fed to the model.")
      .def_property_readonly("passes", &ChatSession::passes,
                             "Passes through the decoder after the prompts'.");
}

}  // namespace internvl::bind
