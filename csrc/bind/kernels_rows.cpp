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
  return self->choose(PaddedMatrix(self, x, DType::kFloat32), {}, {}).tokens;
}

FloatArray norm(const KernelBackend& self, const FloatArray& x, const std::string& kind, float eps,
                const FloatArray& weight, const FloatArray& bias, const std::string& dtype,
                const std::string& out_dtype, bool in_place) {
  const Norm parameters = prepare_norm(self, kind, eps, weight, bias);
  const PaddedMatrix input(self, x, parse_dtype(dtype));
  if (in_place) {
    self->norm(input, input, parameters);
    return input.array();
  }
  const PaddedMatrix out(self, parse_dtype(out_dtype), input.tensor().rows, input.tensor().cols);
  self->norm(out, input, parameters);
  return out.array();
}

/// What a pixel shuffle of `x` writes to.
PaddedMatrix shuffled(const KernelBackend& self, const Tensor& x, std::int64_t side,
                      std::int64_t factor, const std::string& out_dtype) {
  const std::int64_t rows = x.rows / (side * side + 1) * (side / factor) * (side / factor);
  return {self, parse_dtype(out_dtype), rows, x.cols * factor * factor};
}

FloatArray pixel_shuffle(const KernelBackend& self, const FloatArray& x, std::int64_t side,
                         std::int64_t factor, bool transposed, const std::string& dtype,
                         const std::string& out_dtype) {
  const PaddedMatrix input(self, x, parse_dtype(dtype));
  const PaddedMatrix out = shuffled(self, input, side, factor, out_dtype);
  self->pixel_shuffle(out, input, side, factor, transposed);
  return out.array();
}

py::tuple qk_norm(const KernelBackend& self, const FloatArray& q, const FloatArray& k,
                  const Norm& q_norm, const Norm& k_norm, const std::string& dtype) {
  const PaddedMatrix queries(self, q, parse_dtype(dtype));
  const PaddedMatrix keys(self, k, parse_dtype(dtype));
  self->qk_norm(queries, keys, q_norm, k_norm);
  return py::make_tuple(queries.array(), keys.array());
}

FloatArray pixel_shuffle_norm(const KernelBackend& self, const FloatArray& x, std::int64_t side,
                              std::int64_t factor, bool transposed, const Norm& norm,
                              const std::string& out_dtype) {
  const PaddedMatrix input(self, x, DType::kFloat32);
  const PaddedMatrix out = shuffled(self, input, side, factor, out_dtype);
  self->pixel_shuffle_norm(out, input, side, factor, transposed, norm);
  return out.array();
}

}  // namespace

Norm prepare_norm(const KernelBackend& self, const std::string& kind, float eps,
                  const FloatArray& weight, const FloatArray& bias) {
  check(kind == "rms" || kind == "layer", "kind: expected 'rms' or 'layer', got '", kind, "'");
  return {kind == "rms" ? Norm::Kind::kRms : Norm::Kind::kLayer, eps, vector_of(self, weight),
          vector_of(self, bias)};
}

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
           py::arg("transposed"), py::arg("dtype") = "float32", py::arg("out_dtype") = "float32")
      .def("prepare_norm", &prepare_norm, py::arg("kind"), py::arg("eps"), py::arg("weight"),
           py::arg("bias") = FloatArray(0))
      .def("qk_norm", &qk_norm, py::arg("q"), py::arg("k"), py::arg("q_norm"), py::arg("k_norm"),
           py::arg("dtype") = "float32")
      .def("pixel_shuffle_norm", &pixel_shuffle_norm, py::arg("x"), py::arg("side"),
           py::arg("factor"), py::arg("transposed"), py::arg("norm"),
           py::arg("out_dtype") = "float32");
}

}  // namespace internvl::bind
