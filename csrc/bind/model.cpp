// The model: features, hidden states and chat sessions.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <chrono>
#include <string>
#include <utility>

#include "bind/bind.h"
#include "bind/load.h"
#include "bind/names.h"
#include "core/error.h"
#include "model/chat_session.h"
#include "model/internvl.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

// Ctrl-C while the model runs. Asking needs the GIL, which other threads may hold for milliseconds:
// not every layer of a small model is worth that.
void check_signals() {
  using Clock = std::chrono::steady_clock;
  static thread_local Clock::time_point last = Clock::now();
  if (Clock::now() - last < std::chrono::milliseconds(20)) return;
  last = Clock::now();
  const py::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

/// (tiles, channels, height, width); a bfloat16 array comes as its uint16 bits.
PixelValues pixel_view(const py::array& pixel_values, const std::string& dtype) {
  check(pixel_values.ndim() == 4,
        "pixel_values: expected 4 dimensions (tiles, channels, height, width), got ",
        pixel_values.ndim());
  check(pixel_values.shape(0) > 0, "pixel_values: expected at least one tile, got none");
  const DType parsed = parse_dtype(dtype);
  check(pixel_values.itemsize() == static_cast<py::ssize_t>(size_of(parsed)) &&
            (pixel_values.flags() & py::array::c_style) != 0,
        "pixel_values: expected a contiguous array of ", dtype);
  return {pixel_values.data(),   parsed,
          pixel_values.shape(0), pixel_values.shape(1),
          pixel_values.shape(2), pixel_values.shape(3)};
}

py::array_t<float> copy_to_numpy(Tensor value) {
  py::array_t<float> array({value.rows, value.cols});
  for (std::int64_t r = 0; r < value.rows; ++r)
    for (std::int64_t c = 0; c < value.cols; ++c)
      array.mutable_at(r, c) = load_as_float(value.data, value.dtype, r * value.stride + c);
  return array;
}

// Calls observe(name, rows x cols float32 copy) with the GIL.
Observer python_observer(py::object observe) {
  if (observe.is_none()) return {};
  // The handle is released by a deleter that holds the GIL, whichever thread drops the observer.
  std::shared_ptr<py::object> callable(new py::object(std::move(observe)), [](py::object* object) {
    const py::gil_scoped_acquire locked;
    delete object;
  });
  return [callable](const std::string& name, Tensor value) {
    const py::gil_scoped_acquire locked;
    (*callable)(name, copy_to_numpy(value));
  };
}

py::array_t<float> extract_feature(const InternVL& model, const py::array& pixel_values,
                                   const std::string& dtype, py::object observer) {
  const PixelValues pixels = pixel_view(pixel_values, dtype);
  const std::int64_t tokens = model.tokens_per_tile(pixels);
  const std::int64_t width = model.config().decoder.hidden_size;
  py::array_t<float> features({pixels.tiles, tokens, width});
  const Tensor out = matrix(features.mutable_data(), DType::kFloat32, pixels.tiles * tokens, width);
  const Observer observe = python_observer(std::move(observer));
  const py::gil_scoped_release unlocked;
  model.extract_feature(out, pixels, observe, check_signals);
  return features;
}

py::array_t<float> vision_forward(const InternVL& model, const py::array& pixel_values,
                                  const std::string& dtype, std::int64_t layers,
                                  py::object observer) {
  const PixelValues pixels = pixel_view(pixel_values, dtype);
  check(layers >= 0 && layers <= model.config().vision.num_hidden_layers, "layers: expected 0 to ",
        model.config().vision.num_hidden_layers, ", got ", layers);
  const std::int64_t tokens = model.vision().tokens(pixels);
  const std::int64_t width = model.config().vision.hidden_size;
  py::array_t<float> hidden({pixels.tiles, tokens, width});
  const Tensor out = matrix(hidden.mutable_data(), DType::kFloat32, pixels.tiles * tokens, width);
  const Observer observe = python_observer(std::move(observer));
  const py::gil_scoped_release unlocked;
  model.vision_forward(out, pixels, layers, observe, check_signals);
  return hidden;
}

py::array_t<float> vision_encode(const InternVL& model, const FloatArray& pixel_embeds,
                                 py::object observer) {
  const std::int64_t width = model.config().vision.hidden_size;
  check(pixel_embeds.ndim() == 3 && pixel_embeds.size() > 0 && pixel_embeds.shape(2) == width,
        "pixel_embeds: expected (tiles, tokens, ", width, "), got ",
        py::str(pixel_embeds.attr("shape")).cast<std::string>());
  const std::int64_t tokens = pixel_embeds.shape(1);
  py::array_t<float> hidden({pixel_embeds.shape(0), pixel_embeds.shape(1), pixel_embeds.shape(2)});
  std::copy_n(pixel_embeds.data(), pixel_embeds.size(), hidden.mutable_data());
  const Tensor out =
      matrix(hidden.mutable_data(), DType::kFloat32, pixel_embeds.shape(0) * tokens, width);
  const Observer observe = python_observer(std::move(observer));
  const py::gil_scoped_release unlocked;
  model.vision_encode(out, tokens, observe, check_signals);
  return hidden;
}

py::array_t<float> project(const InternVL& model, const FloatArray& shuffled) {
  const VisionConfig& vision = model.config().vision;
  const std::int64_t factor = model.config().downsample_factor;
  const std::int64_t in = vision.hidden_size * factor * factor;
  const std::int64_t out = model.config().decoder.hidden_size;
  check(shuffled.ndim() == 2 && shuffled.size() > 0 && shuffled.shape(1) == in,
        "mlp1: expected rows of ", in, " values, got ",
        py::str(shuffled.attr("shape")).cast<std::string>());
  const std::int64_t rows = shuffled.shape(0);
  py::array_t<float> features({rows, out});
  const Tensor input = matrix(const_cast<float*>(shuffled.data()), DType::kFloat32, rows, in);
  const Tensor output = matrix(features.mutable_data(), DType::kFloat32, rows, out);
  const py::gil_scoped_release unlocked;
  model.project(output, input);
  return features;
}

std::unique_ptr<ChatSession> start_session(
    std::shared_ptr<InternVL> model, const py::array_t<std::int32_t, py::array::c_style>& input_ids,
    const py::array_t<std::uint8_t, py::array::c_style>& attention_mask,
    const std::optional<FloatArray>& features, std::int32_t image_token_id, py::object observer) {
  check(input_ids.ndim() == 2, "input_ids: expected 2 dimensions (batch, length), got ",
        input_ids.ndim());
  check(attention_mask.ndim() == 2 && attention_mask.shape(0) == input_ids.shape(0) &&
            attention_mask.shape(1) == input_ids.shape(1),
        "attention_mask: expected the shape of input_ids, (", input_ids.shape(0), ", ",
        input_ids.shape(1), ")");
  Prompts prompts{input_ids.shape(0),
                  input_ids.shape(1),
                  {input_ids.data(), input_ids.data() + input_ids.size()},
                  {attention_mask.data(), attention_mask.data() + attention_mask.size()}};
  ImageRows images;
  images.image_token_id = image_token_id;
  if (features) {
    const std::int64_t width = model->config().decoder.hidden_size;
    check(features->ndim() >= 2 && features->shape(features->ndim() - 1) == width,
          "visual_features: expected rows of ", width, " values");
    images.rows = features->size() / width;
    images.features.assign(features->data(), features->data() + features->size());
  }
  return std::make_unique<ChatSession>(std::move(model), std::move(prompts), std::move(images),
                                       check_signals, python_observer(std::move(observer)));
}

py::array_t<float> prefill(ChatSession& session) {
  py::array_t<float> logits({session.batch_size(), session.vocab_size()});
  float* out = logits.mutable_data();
  const py::gil_scoped_release unlocked;
  session.prefill(out);
  return logits;
}

py::array_t<float> step(ChatSession& session,
                        const py::array_t<std::int32_t, py::array::c_style>& tokens) {
  check(tokens.size() == session.batch_size(), "tokens: expected one for each of ",
        session.batch_size(), " sequences, got ", tokens.size());
  py::array_t<float> logits({session.batch_size(), session.vocab_size()});
  float* out = logits.mutable_data();
  const std::int32_t* in = tokens.data();
  const py::gil_scoped_release unlocked;
  session.step(in, out);
  return logits;
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<InternVL, std::shared_ptr<InternVL>>(
      module, "InternVL", "A loaded model. Any number of threads may use it at once.")
      .def(
          py::init(&load), py::arg("config"), py::arg("weights"), py::arg("dtype"),
          py::arg("isa") = "", py::arg("progress") = py::none(),
          "config: core_config.core_config(); weights: canonical name -> row ranges\n"
          "(source, offset, dtype, rows, cols), weights.weight_map(); dtype: float32, bfloat16 or\n"
          "float16; isa: an instruction set of cpu_isas(), the best one if empty;\n"
          "progress(bytes): called with the bytes read so far, at most 20 times a second.")
      .def_property_readonly("dtype", [](const InternVL& model) { return name_of(model.dtype()); })
      .def_property_readonly("backend",
                             [](const InternVL& model) { return model.backend().name(); })
      .def("extract_feature", &extract_feature, py::arg("pixel_values"), py::arg("dtype"),
           py::arg("observer") = py::none(),
           "(tiles, channels, height, width) of dtype (bfloat16 as uint16 bits) -> float32\n"
           "(tiles, tokens, hidden_size). observer(name, value) sees the activations.")
      .def("vision_forward", &vision_forward, py::arg("pixel_values"), py::arg("dtype"),
           py::arg("layers"), py::arg("observer") = py::none(),
           "Output of vision layer `layers` (0: the embeddings), float32 (tiles, tokens, C).")
      .def("vision_encode", &vision_encode, py::arg("pixel_embeds"),
           py::arg("observer") = py::none(),
           "All vision layers on embeddings, float32 (tiles, tokens, C) -> the same shape.")
      .def("project", &project, py::arg("shuffled"),
           "mlp1 of pixel-shuffled rows, float32 (rows, C / downsample_ratio^2) -> (rows, L).")
      .def("session", &start_session, py::arg("input_ids"), py::arg("attention_mask"),
           py::arg("features"), py::arg("image_token_id"), py::arg("observer") = py::none(),
           "A batch of prompts for the generation loop: int32 (batch, length), uint8 mask of the\n"
           "same shape, and the rows that replace the embeddings of image_token_id, or None.");
  py::class_<ChatSession, SequenceModel>(module, "ChatSession",
                                         "A batch of prompts that grows by a token a step.")
      .def("prefill", &prefill, "Runs the prompts, once -> float32 (batch, vocab_size).")
      .def("step", &step, py::arg("tokens"),
           "Appends int32 tokens (batch) -> float32 (batch, vocab_size) of the new positions.");
}

}  // namespace internvl::bind
