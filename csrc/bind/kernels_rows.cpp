// `_core.kernels`: operations on rows.
#include <pybind11/stl.h>

#include <cstring>

#include "bind/kernels.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

Buffer vector_of(const FloatArray& array) {
  Buffer buffer(array.nbytes());
  std::memcpy(buffer.data(), array.data(), array.nbytes());
  return buffer;
}

FloatArray copy(const KernelBackend& self, const FloatArray& x, const std::string& dtype,
                const std::string& out_dtype) {
  const Matrix input(x, parse_dtype(dtype), self.padding);
  const Matrix out(parse_dtype(out_dtype), input.tensor().rows, input.tensor().cols, self.padding);
  self->copy(out.tensor(), input.tensor());
  return out.array();
}

FloatArray patchify(const KernelBackend& self, const FloatArray& pixels, std::int64_t channels,
                    std::int64_t height, std::int64_t width, std::int64_t patch, std::int64_t cols,
                    const std::string& dtype) {
  const Matrix input(pixels, DType::kFloat32, self.padding);
  const std::int64_t patches = (height / patch) * (width / patch);
  const Matrix out(parse_dtype(dtype), input.tensor().rows * patches, cols, self.padding);
  self->patchify(out.tensor(), input.tensor(), channels, height, width, patch);
  return out.array();
}

FloatArray vision_embed(const KernelBackend& self, const FloatArray& patches,
                        const FloatArray& class_embedding, const FloatArray& position) {
  const Matrix input(patches, DType::kFloat32, self.padding);
  const Matrix first(class_embedding, DType::kFloat32, self.padding);
  const Matrix where(position, DType::kFloat32, self.padding);
  const std::int64_t tokens = where.tensor().rows;
  check(tokens > 1, "vision_embed: position: expected at least 2 rows, got ", tokens);
  const Matrix hidden(DType::kFloat32, input.tensor().rows / (tokens - 1) * tokens,
                      input.tensor().cols, self.padding);
  self->vision_embed(hidden.tensor(), input.tensor(), first.tensor(), where.tensor());
  return hidden.array();
}

FloatArray embed(const KernelBackend& self, const FloatArray& table,
                 const std::vector<std::int32_t>& ids, const std::string& dtype) {
  const Matrix input(table, parse_dtype(dtype), self.padding);
  const Matrix out(DType::kFloat32, static_cast<std::int64_t>(ids.size()), input.tensor().cols,
                   self.padding);
  self->embed(out.tensor(), input.tensor(), ids.data());
  return out.array();
}

FloatArray norm(const KernelBackend& self, const FloatArray& x, const std::string& kind, float eps,
                const FloatArray& weight, const FloatArray& bias, const std::string& dtype,
                const std::string& out_dtype, bool in_place) {
  check(kind == "rms" || kind == "layer", "kind: expected 'rms' or 'layer', got '", kind, "'");
  const Norm parameters{kind == "rms" ? Norm::Kind::kRms : Norm::Kind::kLayer, eps,
                        vector_of(weight), vector_of(bias)};
  const Matrix input(x, parse_dtype(dtype), self.padding);
  if (in_place) {
    self->norm(input.tensor(), input.tensor(), parameters);
    return input.array();
  }
  const Matrix out(parse_dtype(out_dtype), input.tensor().rows, input.tensor().cols, self.padding);
  self->norm(out.tensor(), input.tensor(), parameters);
  return out.array();
}

FloatArray pixel_shuffle(const KernelBackend& self, const FloatArray& x, std::int64_t side,
                         std::int64_t factor, bool transposed, const std::string& dtype,
                         const std::string& out_dtype) {
  const Matrix input(x, parse_dtype(dtype), self.padding);
  const std::int64_t rows =
      input.tensor().rows / (side * side + 1) * (side / factor) * (side / factor);
  const Matrix out(parse_dtype(out_dtype), rows, input.tensor().cols * factor * factor,
                   self.padding);
  self->pixel_shuffle(out.tensor(), input.tensor(), side, factor, transposed);
  return out.array();
}

}  // namespace

void bind_row_kernels(py::class_<KernelBackend>& backend) {
  backend
      .def("copy", &copy, py::arg("x"), py::arg("dtype") = "float32",
           py::arg("out_dtype") = "float32")
      .def("patchify", &patchify, py::arg("pixels"), py::arg("channels"), py::arg("height"),
           py::arg("width"), py::arg("patch"), py::arg("cols"), py::arg("dtype") = "float32")
      .def("vision_embed", &vision_embed, py::arg("patches"), py::arg("class_embedding"),
           py::arg("position"))
      .def("embed", &embed, py::arg("table"), py::arg("ids"), py::arg("dtype") = "float32")
      .def("norm", &norm, py::arg("x"), py::arg("kind"), py::arg("eps"), py::arg("weight"),
           py::arg("bias") = FloatArray(0), py::arg("dtype") = "float32",
           py::arg("out_dtype") = "float32", py::arg("in_place") = false)
      .def("pixel_shuffle", &pixel_shuffle, py::arg("x"), py::arg("side"), py::arg("factor"),
           py::arg("transposed"), py::arg("dtype") = "float32", py::arg("out_dtype") = "float32");
}

}  // namespace internvl::bind
