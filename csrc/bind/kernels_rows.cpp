// `_core.kernels`: operations on rows.
#include <pybind11/stl.h>

#include "backend/transfer.h"
#include "bind/kernels.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

Buffer vector_of(const KernelBackend& self, const FloatArray& array) {
  if (array.size() == 0) return Buffer();
  return copy_to_backend(*self.backend,
                         matrix(const_cast<float*>(array.data()), DType::kFloat32, 1, array.size()))
      .take_storage();
}

FloatArray copy(const KernelBackend& self, const FloatArray& x, const std::string& dtype,
                const std::string& out_dtype) {
  const PaddedMatrix input(self, x, parse_dtype(dtype));
  const PaddedMatrix out(self, parse_dtype(out_dtype), input.tensor().rows, input.tensor().cols);
  self->copy(out, input);
  return out.array();
}

FloatArray patchify(const KernelBackend& self, const FloatArray& pixels, std::int64_t channels,
                    std::int64_t height, std::int64_t width, std::int64_t patch, std::int64_t cols,
                    const std::string& dtype) {
  const PaddedMatrix input(self, pixels, DType::kFloat32);
  const std::int64_t patches = (height / patch) * (width / patch);
  const PaddedMatrix out(self, parse_dtype(dtype), input.tensor().rows * patches, cols);
  self->patchify(out, input, channels, height, width, patch);
  return out.array();
}

FloatArray vision_embed(const KernelBackend& self, const FloatArray& patches,
                        const FloatArray& class_embedding, const FloatArray& position) {
  const PaddedMatrix input(self, patches, DType::kFloat32);
  const PaddedMatrix first(self, class_embedding, DType::kFloat32);
  const PaddedMatrix where(self, position, DType::kFloat32);
  const std::int64_t tokens = where.tensor().rows;
  check(tokens > 1, "vision_embed: position: expected at least 2 rows, got ", tokens);
  const PaddedMatrix hidden(self, DType::kFloat32, input.tensor().rows / (tokens - 1) * tokens,
                            input.tensor().cols);
  self->vision_embed(hidden, input, first, where);
  return hidden.array();
}

FloatArray gather_rows(const KernelBackend& self, const FloatArray& out_rows,
                       const FloatArray& table, const std::vector<std::int32_t>& rows,
                       const std::string& dtype) {
  const PaddedMatrix input(self, table, parse_dtype(dtype));
  const PaddedMatrix out(self, out_rows, DType::kFloat32);
  self->gather_rows(out, input, rows);
  return out.array();
}

std::vector<std::int32_t> argmax(const KernelBackend& self, const FloatArray& x) {
  return self->argmax(PaddedMatrix(self, x, DType::kFloat32));
}

FloatArray norm(const KernelBackend& self, const FloatArray& x, const std::string& kind, float eps,
                const FloatArray& weight, const FloatArray& bias, const std::string& dtype,
                const std::string& out_dtype, bool in_place) {
  check(kind == "rms" || kind == "layer", "kind: expected 'rms' or 'layer', got '", kind, "'");
  const Norm parameters{kind == "rms" ? Norm::Kind::kRms : Norm::Kind::kLayer, eps,
                        vector_of(self, weight), vector_of(self, bias)};
  const PaddedMatrix input(self, x, parse_dtype(dtype));
  if (in_place) {
    self->norm(input, input, parameters);
    return input.array();
  }
  const PaddedMatrix out(self, parse_dtype(out_dtype), input.tensor().rows, input.tensor().cols);
  self->norm(out, input, parameters);
  return out.array();
}

FloatArray pixel_shuffle(const KernelBackend& self, const FloatArray& x, std::int64_t side,
                         std::int64_t factor, bool transposed, const std::string& dtype,
                         const std::string& out_dtype) {
  const PaddedMatrix input(self, x, parse_dtype(dtype));
  const std::int64_t rows =
      input.tensor().rows / (side * side + 1) * (side / factor) * (side / factor);
  const PaddedMatrix out(self, parse_dtype(out_dtype), rows, input.tensor().cols * factor * factor);
  self->pixel_shuffle(out, input, side, factor, transposed);
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
      .def("gather_rows", &gather_rows, py::arg("out"), py::arg("table"), py::arg("rows"),
           py::arg("dtype") = "float32")
      .def("argmax", &argmax, py::arg("x"))
      .def("norm", &norm, py::arg("x"), py::arg("kind"), py::arg("eps"), py::arg("weight"),
           py::arg("bias") = FloatArray(0), py::arg("dtype") = "float32",
           py::arg("out_dtype") = "float32", py::arg("in_place") = false)
      .def("pixel_shuffle", &pixel_shuffle, py::arg("x"), py::arg("side"), py::arg("factor"),
           py::arg("transposed"), py::arg("dtype") = "float32", py::arg("out_dtype") = "float32");
}

}  // namespace internvl::bind
