// The generation loop, and SequenceModel as a class that Python can subclass.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>

#include "bind/bind.h"
#include "bind/gil.h"
#include "bind/signals.h"
#include "core/error.h"
#include "core/thread_pool.h"
#include "generation/generate.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Shape = std::vector<py::ssize_t>;

/// Hands a vector over to numpy without copying it.
FloatArray to_array(std::vector<float>&& values, const Shape& shape) {
  auto* owned = new std::vector<float>(std::move(values));
  const py::capsule owner(owned, [](void* p) { delete static_cast<std::vector<float>*>(p); });
  return FloatArray(shape, owned->data(), owner);
}

FloatArray copy_to_array(const Scores& scores) {
  return FloatArray(Shape{scores.rows, scores.vocab_size}, scores.values.data());
}

py::array_t<std::int64_t> to_array(const Sequences& rows) {
  const auto columns = rows.empty() ? 0 : static_cast<py::ssize_t>(rows.front().size());
  py::array_t<std::int64_t> result(Shape{static_cast<py::ssize_t>(rows.size()), columns});
  std::int64_t* target = result.mutable_data();
  for (const Sequence& row : rows) target = std::copy(row.begin(), row.end(), target);
  return result;
}

py::array_t<std::int64_t> to_array(const Sequence& tokens) {
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(tokens.size()), tokens.data());
}

void copy_checked(const FloatArray& source, const Shape& shape, float* target, const char* name) {
  const Shape got(source.shape(), source.shape() + source.ndim());
  check(got == shape, name, " must have shape ", py::repr(py::cast(shape)).cast<std::string>(),
        ", got ", py::repr(py::cast(got)).cast<std::string>());
  std::copy_n(source.data(), source.size(), target);
}

/// Calls the methods of a Python subclass; they exchange numpy arrays. keep_hidden_states() gets
/// "none", "last" or "all".
class PySequenceModel : public SequenceModel {
 public:
  std::int64_t vocab_size() const override {
    PYBIND11_OVERRIDE_PURE(std::int64_t, SequenceModel, vocab_size);
  }

  std::int64_t batch_size() const override {
    PYBIND11_OVERRIDE_PURE(std::int64_t, SequenceModel, batch_size);
  }

  std::vector<std::int64_t> prompt(std::int64_t row) const override {
    PYBIND11_OVERRIDE(std::vector<std::int64_t>, SequenceModel, prompt, row);
  }

  void keep_hidden_states(KeepHidden keep) override {
    const py::gil_scoped_acquire gil;
    constexpr std::array<const char*, 3> names{"none", "last", "all"};
    method("keep_hidden_states")(names[static_cast<std::size_t>(keep)]);
  }

  const HiddenStates& hidden_states() const override {
    const py::gil_scoped_acquire gil;
    const auto array = method("hidden_states")().cast<FloatArray>();
    check(array.ndim() == 4,
          "hidden_states() must have 4 dimensions (layers, rows, tokens, "
          "hidden), got ",
          array.ndim());
    hidden_states_ = {array.shape(0), array.shape(1), array.shape(2), array.shape(3),
                      std::vector<float>(array.data(), array.data() + array.size())};
    return hidden_states_;
  }

  void prefill(std::int64_t copies) override {
    const py::gil_scoped_acquire gil;
    const std::int64_t prompts = batch_size();
    keep_logits(method("prefill")(), prompts, "logits of prefill()");
    if (copies == 1) return;
    const std::vector<std::int32_t> parents = parents_of_copies(prompts, copies);
    reorder(parents);
    logits_ = gather_rows(logits_, parents);
  }

  void reorder(const std::vector<std::int32_t>& parents) override {
    PYBIND11_OVERRIDE_PURE(void, SequenceModel, reorder, parents);
  }

  void step(const std::int32_t* tokens) override {
    const py::gil_scoped_acquire gil;
    const std::int64_t rows = batch_size();
    keep_logits(method("step")(py::array_t<std::int32_t>(rows, tokens)), rows, "logits of step()");
  }

  void read_logits(float* logits) override {
    std::copy(logits_.values.begin(), logits_.values.end(), logits);
  }

  std::int64_t max_extension() const override {
    PYBIND11_OVERRIDE(std::int64_t, SequenceModel, max_extension);
  }

  void extend(const std::int32_t* tokens, std::int64_t count) override {
    const py::gil_scoped_acquire gil;
    keep_logits(method("extend")(py::array_t<std::int32_t>(count, tokens)), count,
                "logits of extend()");
  }

  void crop(std::int64_t count) override { PYBIND11_OVERRIDE(void, SequenceModel, crop, count); }

 private:
  py::function method(const char* name) const {
    py::function found = py::get_override(static_cast<const SequenceModel*>(this), name);
    if (!found) throw py::type_error(message("SequenceModel subclass lacks ", name, "()"));
    return found;
  }

  void keep_logits(const py::object& logits, std::int64_t rows, const char* name) {
    logits_ = Scores(rows, vocab_size());
    copy_checked(logits.cast<FloatArray>(), {rows, logits_.vocab_size}, logits_.values.data(),
                 name);
  }

  mutable HiddenStates hidden_states_;
  Scores logits_;  // of the last pass
};

/// Python callables as hooks: None stays an empty function, each call takes the GIL.
class PyHooks {
 public:
  PyHooks(py::object process_logits, py::object allowed_tokens, py::object put,
          py::object should_stop)
      : process_logits_(std::move(process_logits)),
        allowed_tokens_(std::move(allowed_tokens)),
        put_(std::move(put)),
        should_stop_(std::move(should_stop)) {}

  GenerationHooks hooks() {
    GenerationHooks result;
    result.poll = [] { with_gil(throw_pending); };
    if (!process_logits_.is_none()) {
      result.processors.process = [this](const Step& step) { process(step); };
    }
    if (!allowed_tokens_.is_none()) {
      result.processors.allowed_tokens = [this](std::int64_t prompt, const Sequence& sequence) {
        return with_gil(
            [&] { return allowed_tokens_(prompt, to_array(sequence)).cast<Sequence>(); });
      };
    }
    if (!put_.is_none()) {
      result.put = [this](const Sequence& tokens) { with_gil([&] { put_(to_array(tokens)); }); };
    }
    if (!should_stop_.is_none()) {
      result.should_stop = [this](const Sequences& sequences, const std::vector<Scores>& scores) {
        return with_gil([&] {
          for (std::size_t i = scores_.size(); i < scores.size(); ++i) {
            scores_.append(copy_to_array(scores[i]));
          }
          return should_stop_(to_array(sequences), scores_).cast<bool>();
        });
      };
    }
    return result;
  }

 private:
  void process(const Step& step) const {
    with_gil([&] {
      const py::object result =
          process_logits_(to_array(step.sequences), copy_to_array(step.scores));
      copy_checked(result.cast<FloatArray>(), {step.scores.rows, step.scores.vocab_size},
                   step.scores.values.data(), "The result of a `logits_processor`");
    });
  }

  py::object process_logits_;
  py::object allowed_tokens_;
  py::object put_;
  py::object should_stop_;
  py::list scores_;  // the steps' scores for should_stop, each converted once
};

py::list to_list(std::vector<Scores>&& steps) {
  py::list result;
  for (Scores& s : steps) result.append(to_array(std::move(s.values), {s.rows, s.vocab_size}));
  return result;
}

py::list to_list(const std::vector<Logprobs>& rows) {
  py::list result;
  for (const Logprobs& row : rows)
    result.append(FloatArray(static_cast<py::ssize_t>(row.size()), row.data()));
  return result;
}

py::dict to_dict(GenerationOutput&& output) {
  py::list hidden_states;
  for (HiddenStates& h : output.hidden_states) {
    hidden_states.append(
        to_array(std::move(h.values), {h.layers, h.batch, h.tokens, h.hidden_size}));
  }
  py::dict result;
  const auto count = static_cast<py::ssize_t>(output.sequences_scores.size());
  result["sequences"] = to_array(output.sequences);
  result["sequences_scores"] = to_array(std::move(output.sequences_scores), {count});
  result["scores"] = to_list(std::move(output.scores));
  result["logits"] = to_list(std::move(output.logits));
  result["beam_indices"] = to_array(output.beam_indices);
  result["hidden_states"] = hidden_states;
  result["logprobs"] = to_list(output.logprobs);
  return result;
}

py::dict run(SequenceModel& model, const GenerationConfig& config, py::object process_logits,
             py::object allowed_tokens, py::object put, py::object should_stop) {
  PyHooks python(std::move(process_logits), std::move(allowed_tokens), std::move(put),
                 std::move(should_stop));
  const GenerationHooks hooks = python.hooks();
  GenerationOutput output;
  {
    const GilReleased release;
    output = generate(model, config, hooks);
  }
  return to_dict(std::move(output));
}

py::array_t<float> log_probabilities(const FloatArray& logits, const Sequence& tokens) {
  const auto rows = static_cast<std::int64_t>(tokens.size());
  check(logits.ndim() == 2 && logits.shape(0) == rows, "logits must be (", rows, ", vocab_size)");
  const std::int64_t vocab_size = logits.shape(1);
  for (const std::int64_t token : tokens)
    check(token >= 0 && token < vocab_size, "tokens: ", token, " is outside the vocabulary of ",
          vocab_size);
  py::array_t<float> result(rows);
  const float* scores = logits.data();
  float* out = result.mutable_data();
  const GilReleased release;
  parallel_for(rows, [&](std::int64_t r, int) {
    const float* row = scores + r * vocab_size;
    out[r] = static_cast<float>(row[tokens[r]] - log_sum_exp(row, vocab_size));
  });
  return result;
}

void bind_config(py::module_& module) {
  using Config = GenerationConfig;
  py::class_<Config>(module, "GenerationConfig")
      .def(py::init<>())
      .def_readwrite("do_sample", &Config::do_sample)
      .def_readwrite("num_return_sequences", &Config::num_return_sequences)
      .def_readwrite("seed", &Config::seed)
      .def_readwrite("prompt_ids", &Config::prompt_ids)
      .def_readwrite("bos_token_id", &Config::bos_token_id)
      .def_readwrite("pad_token_id", &Config::pad_token_id)
      .def_readwrite("eos_token_id", &Config::eos_token_id)
      .def_readwrite("max_length", &Config::max_length)
      .def_readwrite("max_time", &Config::max_time)
      .def_readwrite("num_beams", &Config::num_beams)
      .def_readwrite("num_beam_groups", &Config::num_beam_groups)
      .def_readwrite("length_penalty", &Config::length_penalty)
      .def_readwrite("early_stopping", &Config::early_stopping)
      .def_readwrite("penalty_alpha", &Config::penalty_alpha)
      .def_readwrite("prompt_lookup_num_tokens", &Config::prompt_lookup_num_tokens)
      .def_readwrite("max_matching_ngram_size", &Config::max_matching_ngram_size)
      .def_readwrite("sequence_bias", &Config::sequence_bias)
      .def_readwrite("diversity_penalty", &Config::diversity_penalty)
      .def_readwrite("repetition_penalty", &Config::repetition_penalty)
      .def_readwrite("no_repeat_ngram_size", &Config::no_repeat_ngram_size)
      .def_readwrite("bad_words_ids", &Config::bad_words_ids)
      .def_readwrite("processed_eos_token_id", &Config::processed_eos_token_id)
      .def_readwrite("min_length", &Config::min_length)
      .def_readwrite("min_new_tokens", &Config::min_new_tokens)
      .def_readwrite("forced_bos_token_id", &Config::forced_bos_token_id)
      .def_readwrite("forced_eos_token_id", &Config::forced_eos_token_id)
      .def_readwrite("remove_invalid_values", &Config::remove_invalid_values)
      .def_readwrite("exponential_decay_length_penalty", &Config::exponential_decay_length_penalty)
      .def_readwrite("suppress_tokens", &Config::suppress_tokens)
      .def_readwrite("begin_suppress_tokens", &Config::begin_suppress_tokens)
      .def_readwrite("begin_index", &Config::begin_index)
      .def_readwrite("forced_decoder_ids", &Config::forced_decoder_ids)
      .def_readwrite("renormalize_logits", &Config::renormalize_logits)
      .def_readwrite("temperature", &Config::temperature)
      .def_readwrite("top_k", &Config::top_k)
      .def_readwrite("top_p", &Config::top_p)
      .def_readwrite("typical_p", &Config::typical_p)
      .def_readwrite("epsilon_cutoff", &Config::epsilon_cutoff)
      .def_readwrite("eta_cutoff", &Config::eta_cutoff)
      .def_readwrite("min_tokens_to_keep", &Config::min_tokens_to_keep)
      .def_readwrite("output_scores", &Config::output_scores)
      .def_readwrite("output_logits", &Config::output_logits)
      .def_readwrite("output_hidden_states", &Config::output_hidden_states)
      .def_readwrite("output_logprobs", &Config::output_logprobs);
}

}  // namespace

void bind_generation(py::module_& module) {
  py::class_<SequenceModel, PySequenceModel>(module, "SequenceModel")
      .def(py::init<>())
      .def("vocab_size", &SequenceModel::vocab_size)
      .def("batch_size", &SequenceModel::batch_size);
  bind_config(module);
  module.def("generate", &run, py::arg("model"), py::arg("config"),
             py::arg("process_logits") = py::none(), py::arg("allowed_tokens") = py::none(),
             py::arg("put") = py::none(), py::arg("should_stop") = py::none());
  module.def(
      "process_scores",
      [](const GenerationConfig& config, const Sequences& sequences, const FloatArray& logits) {
        check(logits.ndim() == 2 && logits.shape(0) == static_cast<py::ssize_t>(sequences.size()),
              "logits must be (", sequences.size(), ", vocab_size)");
        Scores scores(logits.shape(0), logits.shape(1));
        std::copy_n(logits.data(), logits.size(), scores.values.data());
        const Step step{sequences, scores, {}};
        run_processors(make_logits_processors(config, {}), step);
        if (config.do_sample) run_processors(make_logits_warpers(config), step);
        return copy_to_array(scores);
      },
      py::arg("config"), py::arg("sequences"), py::arg("logits"),
      "Scores after the processors and, with do_sample, the warpers of a config.");
  module.def("log_probabilities", &log_probabilities, py::arg("logits"), py::arg("tokens"),
             "float32 (rows, vocab_size), int64 (rows) -> float32 (rows): of each row's token.");
}

}  // namespace internvl::bind
