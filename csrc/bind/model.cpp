// The model: its parts one by one. Running it on prompts is in session.cpp.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/transfer.h"
#include "bind/bind.h"
#include "bind/dlpack.h"
#include "bind/gil.h"
#include "bind/load.h"
#include "bind/names.h"
#include "bind/signals.h"
#include "core/error.h"
#include "model/internvl.h"
#include "model/record.h"
#include "model/rope.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

void check_place(const InternVL& model, const LentArray& lent, const char* name) {
  check(lent.place() == Place::kHost || model.backend().place() == Place::kDevice, name,
        ": expected an array in the host's memory, as the model computes on ",
        model.backend().name());
}

/// A numpy array, a bfloat16 one as its uint16 bits, or a LentArray.
PixelValues pixel_view(const InternVL& model, const py::object& pixel_values,
                       const std::string& dtype) {
  const DType parsed = parse_dtype(dtype);
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
  Place place = Place::kHost;
  if (py::isinstance<LentArray>(pixel_values)) {
    const auto& lent = pixel_values.cast<const LentArray&>();
    check_place(model, lent, "pixel_values");
    check(lent.dtype() == parsed, "pixel_values: expected ", dtype, ", got ",
          name_of(lent.dtype()));
    shape = lent.shape();
    data = lent.data();
    place = lent.place();
  } else {
    check(py::isinstance<py::array>(pixel_values), "pixel_values: expected an array");
    const auto array = pixel_values.cast<py::array>();
    check(array.itemsize() == static_cast<py::ssize_t>(size_of(parsed)) &&
              (array.flags() & py::array::c_style) != 0,
          "pixel_values: expected a contiguous array of ", dtype);
    shape.assign(array.shape(), array.shape() + array.ndim());
    data = array.data();
  }
  check(shape.size() == 4,
        "pixel_values: expected 4 dimensions (tiles, channels, height, width), got ", shape.size());
  check(shape[0] > 0, "pixel_values: expected at least one tile, got none");
  return {data, parsed, shape[0], shape[1], shape[2], shape[3], place};
}

// Every tile is a sequence of the recorders: `vision_tokens` rows of the vision transformer's
// activations, `tokens` of the projector's.
Observer tile_observer(const InternVL& model, const Recorders& recorders, std::int64_t tiles,
                       std::int64_t vision_tokens, std::int64_t tokens) {
  if (recorders.empty()) return {};
  check_recorders(recorders);
  for (const auto& recorder : recorders) recorder->begin(tiles);
  return [=, &model, &recorders, seen = std::map<std::string, std::int64_t>()](
             const std::string& name, Tensor value) mutable {
    const std::int64_t rows_per_tile = name.rfind("vit.", 0) == 0 ? vision_tokens : tokens;
    std::int64_t& row = seen[name];
    std::vector<std::int64_t> owners(value.rows);
    for (std::int64_t& tile : owners) tile = row++ / rows_per_tile;
    record(recorders, model.backend(), name, value, owners);
  };
}

void run_extract_feature(const InternVL& model, Tensor out, const PixelValues& pixels,
                         const Recorders& recorders) {
  const GilReleased unlocked;
  model.extract_feature(out, pixels,
                        tile_observer(model, recorders, pixels.tiles, model.vision().tokens(pixels),
                                      model.tokens_per_tile(pixels)),
                        check_signals);
}

py::array_t<float> extract_feature(const InternVL& model, const py::object& pixel_values,
                                   const std::string& dtype, const Recorders& recorders) {
  const PixelValues pixels = pixel_view(model, pixel_values, dtype);
  const std::int64_t tokens = model.tokens_per_tile(pixels);
  const std::int64_t width = model.config().decoder.hidden_size;
  py::array_t<float> features({pixels.tiles, tokens, width});
  run_extract_feature(
      model, matrix(features.mutable_data(), DType::kFloat32, pixels.tiles * tokens, width), pixels,
      recorders);
  return features;
}

void extract_feature_into(const InternVL& model, const LentArray& out,
                          const py::object& pixel_values, const std::string& dtype,
                          const Recorders& recorders) {
  const PixelValues pixels = pixel_view(model, pixel_values, dtype);
  const std::int64_t tokens = model.tokens_per_tile(pixels);
  const std::int64_t width = model.config().decoder.hidden_size;
  check_place(model, out, "out");
  check(out.dtype() == DType::kFloat32 &&
            out.shape() == std::vector<std::int64_t>{pixels.tiles, tokens, width},
        "out: expected float32 (", pixels.tiles, ", ", tokens, ", ", width, ")");
  const std::int64_t rows = pixels.tiles * tokens;
  run_extract_feature(model, {out.data(), DType::kFloat32, rows, width, width, out.place()}, pixels,
                      recorders);
}

py::array_t<float> vision_forward(const InternVL& model, const py::object& pixel_values,
                                  const std::string& dtype, std::int64_t layers,
                                  const Recorders& recorders) {
  const PixelValues pixels = pixel_view(model, pixel_values, dtype);
  check(layers >= 0 && layers <= model.config().vision.num_hidden_layers, "layers: expected 0 to ",
        model.config().vision.num_hidden_layers, ", got ", layers);
  const std::int64_t tokens = model.vision().tokens(pixels);
  const std::int64_t width = model.config().vision.hidden_size;
  py::array_t<float> hidden({pixels.tiles, tokens, width});
  const Tensor out = matrix(hidden.mutable_data(), DType::kFloat32, pixels.tiles * tokens, width);
  const GilReleased unlocked;
  model.vision_forward(out, pixels, layers,
                       tile_observer(model, recorders, pixels.tiles, tokens, 0), check_signals);
  return hidden;
}

py::array_t<float> vision_encode(const InternVL& model, const FloatArray& pixel_embeds,
                                 const Recorders& recorders) {
  const std::int64_t width = model.config().vision.hidden_size;
  check(pixel_embeds.ndim() == 3 && pixel_embeds.size() > 0 && pixel_embeds.shape(2) == width,
        "pixel_embeds: expected (tiles, tokens, ", width, "), got ",
        py::str(pixel_embeds.attr("shape")).cast<std::string>());
  const std::int64_t tokens = pixel_embeds.shape(1);
  py::array_t<float> hidden({pixel_embeds.shape(0), pixel_embeds.shape(1), pixel_embeds.shape(2)});
  const std::int64_t tiles = pixel_embeds.shape(0);
  const Tensor in =
      matrix(const_cast<float*>(pixel_embeds.data()), DType::kFloat32, tiles * tokens, width);
  const Tensor out = matrix(hidden.mutable_data(), DType::kFloat32, tiles * tokens, width);
  const GilReleased unlocked;
  model.vision_encode(out, in, tokens, tile_observer(model, recorders, tiles, tokens, 0),
                      check_signals);
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
  const GilReleased unlocked;
  model.project(output, input);
  return features;
}

Tensor float_rows(const FloatArray& array, std::int64_t cols, const char* name) {
  check(array.ndim() == 2 && array.shape(1) == cols, name, ": expected rows of ", cols, " values");
  return matrix(const_cast<float*>(array.data()), DType::kFloat32, array.shape(0), cols);
}

py::array_t<float> embed(const InternVL& model, const std::vector<std::int32_t>& ids) {
  const auto rows = static_cast<std::int64_t>(ids.size());
  const std::int64_t width = model.config().decoder.hidden_size;
  py::array_t<float> hidden({rows, width});
  const Tensor target = matrix(hidden.mutable_data(), DType::kFloat32, rows, width);
  const GilReleased unlocked;
  const Output out(model.backend(), target);
  model.decoder().embed(out, ids);
  out.finish();
  return hidden;
}

py::array_t<float> output(const InternVL& model, const FloatArray& hidden) {
  const Tensor in = float_rows(hidden, model.config().decoder.hidden_size, "hidden");
  py::array_t<float> logits({in.rows, model.config().decoder.vocab_size});
  const Tensor target =
      matrix(logits.mutable_data(), DType::kFloat32, in.rows, model.config().decoder.vocab_size);
  const GilReleased unlocked;
  const Output out(model.backend(), target);
  model.decoder().output(out, to_backend(model.backend(), in));
  out.finish();
  return logits;
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<InternVL, std::shared_ptr<InternVL>>(
      module, "InternVL", "A loaded model. Any number of threads may use it at once.")
      .def(
          py::init(&load), py::arg("config"), py::arg("weights"), py::arg("dtype"),
          py::arg("backend") = py::none(), py::arg("progress") = py::none(),
          "config: core_config.core_config(); weights: canonical name -> row ranges\n"
          "(source, offset, dtype, rows, cols), weights.weight_map(); dtype: float32, bfloat16 or\n"
          "float16; backend: what it computes on, cpu_backend() if None;\n"
          "progress(bytes): called with the bytes read so far, at most 20 times a second.")
      .def_property_readonly("dtype", [](const InternVL& model) { return name_of(model.dtype()); })
      .def_property_readonly("backend",
                             [](const InternVL& model) { return model.backend().name(); })
      .def_property_readonly(
          "unscaled_length",
          [](const InternVL& model) { return unscaled_length(model.config().decoder); },
          "Up to this length of a sequence, a token's keys do not depend on it.")
      .def(
          "tokens_per_tile",
          [](const InternVL& model, const py::object& pixel_values, const std::string& dtype) {
            return model.tokens_per_tile(pixel_view(model, pixel_values, dtype));
          },
          py::arg("pixel_values"), py::arg("dtype"), "As extract_feature() returns them.")
      .def(
          "extract_feature", &extract_feature, py::arg("pixel_values"), py::arg("dtype"),
          py::arg("recorders") = Recorders(),
          "(tiles, channels, height, width) of dtype (bfloat16 as uint16 bits), or a LentArray ->\n"
          "float32 (tiles, tokens, hidden_size).")
      .def("extract_feature_into", &extract_feature_into, py::arg("out"), py::arg("pixel_values"),
           py::arg("dtype"), py::arg("recorders") = Recorders(),
           "The same into a LentArray; in a GPU's memory, it is complete when the backend is done.")
      .def("vision_forward", &vision_forward, py::arg("pixel_values"), py::arg("dtype"),
           py::arg("layers"), py::arg("recorders") = Recorders(),
           "Output of vision layer `layers` (0: the embeddings), float32 (tiles, tokens, C).")
      .def("vision_encode", &vision_encode, py::arg("pixel_embeds"),
           py::arg("recorders") = Recorders(),
           "All vision layers on embeddings, float32 (tiles, tokens, C) -> the same shape.")
      .def("project", &project, py::arg("shuffled"),
           "mlp1 of pixel-shuffled rows, float32 (rows, C / downsample_ratio^2) -> (rows, L).")
      .def("embed", &embed, py::arg("ids"), "int32 (rows) -> float32 (rows, hidden_size).")
      .def("output", &output, py::arg("hidden"),
           "The output embeddings: float32 (rows, hidden_size), normed -> (rows, vocab_size).");
}

}  // namespace internvl::bind
