// `_core.kernels`: the backend's operations on numpy arrays, for tests and benchmarks. Arrays are
// float32 on the Python side and rounded to the operation's dtype inside.
#include "bind/kernels.h"

#include <pybind11/stl.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "backend/transfer.h"
#include "bind/bind.h"
#include "bind/gil.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {

namespace {

Matrix padded_rows(std::int64_t rows, std::int64_t cols, DType dtype, std::int64_t padding) {
  Matrix result(Buffer(rows * (cols + padding) * size_of(dtype)), dtype, rows, cols + padding);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::int64_t i = 0; i < rows * (cols + padding); ++i)
    store_from_float(result.tensor().data, dtype, i, nan);
  return result;
}

Matrix padded_copy(const FloatArray& array, DType dtype, std::int64_t padding) {
  check(array.ndim() == 2, "expected a matrix, got an array of ", array.ndim(), " dimensions");
  Matrix result = padded_rows(array.shape(0), array.shape(1), dtype, padding);
  const Tensor& tensor = result.tensor();
  for (std::int64_t r = 0; r < tensor.rows; ++r)
    for (std::int64_t c = 0; c < array.shape(1); ++c)
      store_from_float(tensor.data, dtype, r * tensor.stride + c, array.at(r, c));
  return result;
}

}  // namespace

PaddedMatrix::PaddedMatrix(const KernelBackend& backend, Matrix host)
    : backend_(backend),
      storage_(keep_on_backend(*backend.backend, std::move(host))),
      tensor_(storage_.tensor().slice_cols(0, storage_.tensor().cols - backend.padding)) {}

PaddedMatrix::PaddedMatrix(const KernelBackend& backend, DType dtype, std::int64_t rows,
                           std::int64_t cols)
    : PaddedMatrix(backend, padded_rows(rows, cols, dtype, backend.padding)) {}

PaddedMatrix::PaddedMatrix(const KernelBackend& backend, const FloatArray& array, DType dtype)
    : PaddedMatrix(backend, padded_copy(array, dtype, backend.padding)) {}

FloatArray PaddedMatrix::array() const {
  const Matrix host = to_host(*backend_.backend, storage_);
  FloatArray result({tensor_.rows, tensor_.cols});
  for (std::int64_t r = 0; r < tensor_.rows; ++r) {
    for (std::int64_t c = 0; c < tensor_.stride; ++c) {
      const float value = load_as_float(host.tensor().data, tensor_.dtype, r * tensor_.stride + c);
      if (c < tensor_.cols) {
        result.mutable_at(r, c) = value;
      } else {
        check<InternalError>(std::isnan(value), "the padding of row ", r, " was overwritten");
      }
    }
  }
  return result;
}

namespace {

/// Checkpoint tensors as the loader finds them: contiguous, at an odd address.
class Source {
 public:
  Source(const std::vector<FloatArray>& arrays, DType dtype) {
    for (const FloatArray& array : arrays) {
      const std::int64_t rows = array.shape(0);
      const std::int64_t cols = array.ndim() == 2 ? array.shape(1) : 1;
      Buffer buffer(array.size() * size_of(dtype) + 1);
      for (std::int64_t i = 0; i < array.size(); ++i) {
        std::byte element[4];
        store_from_float(element, dtype, 0, array.data()[i]);
        std::memcpy(buffer.data() + 1 + i * size_of(dtype), element, size_of(dtype));
      }
      ranges_.push_back({buffer.data() + 1, dtype, rows, cols});
      buffers_.push_back(std::move(buffer));
    }
  }

  const WeightSource& ranges() const { return ranges_; }

 private:
  std::vector<Buffer> buffers_;
  WeightSource ranges_;
};

using Arrays = std::vector<FloatArray>;

Tensor row_of(const FloatArray& vector) {
  return matrix(const_cast<float*>(vector.data()), DType::kFloat32, 1, vector.size());
}

Linear prepare_linear(const KernelBackend& self, const Arrays& weight, const Arrays& bias,
                      const std::string& dtype, const std::string& source_dtype) {
  const Source weights(weight, parse_dtype(source_dtype));
  const Source biases(bias, parse_dtype(source_dtype));
  const GilReleased release;
  return self->prepare_linear(weights.ranges(), biases.ranges(), parse_dtype(dtype), {});
}

Linear prepare_gated(const KernelBackend& self, const Arrays& gate, const Arrays& up,
                     const Arrays& gate_bias, const Arrays& up_bias, const std::string& dtype,
                     const std::string& source_dtype) {
  const DType source = parse_dtype(source_dtype);
  const Source gates(gate, source), gate_biases(gate_bias, source);
  const Source ups(up, source), up_biases(up_bias, source);
  const GilReleased release;
  return self->prepare_gated(gates.ranges(), gate_biases.ranges(), ups.ranges(), up_biases.ranges(),
                             parse_dtype(dtype), {});
}

FloatArray linear(const KernelBackend& self, const FloatArray& x, const Linear& weight,
                  const std::string& activation, const std::string& out_dtype) {
  const PaddedMatrix input(self, x, self->activation_dtype(weight.dtype));
  const PaddedMatrix out(self, parse_dtype(out_dtype), input.tensor().rows, weight.out_features);
  self->linear(out, input, weight, parse_activation(activation));
  return out.array();
}

FloatArray linear_gated(const KernelBackend& self, const FloatArray& x, const Linear& weight,
                        const std::string& activation, const std::string& out_dtype) {
  const PaddedMatrix input(self, x, self->activation_dtype(weight.dtype));
  const PaddedMatrix out(self, parse_dtype(out_dtype), input.tensor().rows, weight.out_features);
  self->linear_gated(out, input, weight, parse_activation(activation));
  return out.array();
}

FloatArray linear_add(const KernelBackend& self, const FloatArray& residual, const FloatArray& x,
                      const Linear& weight, const std::optional<FloatArray>& scale) {
  const PaddedMatrix input(self, x, self->activation_dtype(weight.dtype));
  const PaddedMatrix out(self, residual, DType::kFloat32);
  const Matrix factors = scale ? to_backend(*self.backend, row_of(*scale)) : Matrix();
  self->linear_add(out, input, weight, factors);
  return out.array();
}

py::tuple linear_add_norm(const KernelBackend& self, const FloatArray& residual,
                          const FloatArray& x, const Linear& weight,
                          const std::optional<FloatArray>& scale, const Norm& norm,
                          const std::string& out_dtype) {
  const PaddedMatrix input(self, x, self->activation_dtype(weight.dtype));
  const PaddedMatrix sum(self, residual, DType::kFloat32);
  const PaddedMatrix out(self, parse_dtype(out_dtype), sum.tensor().rows, sum.tensor().cols);
  const Matrix factors = scale ? to_backend(*self.backend, row_of(*scale)) : Matrix();
  self->linear_add(sum, input, weight, factors, {out, &norm});
  return py::make_tuple(sum.array(), out.array());
}

}  // namespace

void bind_kernels(py::module_& module) {
  py::module_ kernels = module.def_submodule("kernels", "Operations of the backends, for tests.");
  py::class_<Linear>(kernels, "Linear")
      .def_readonly("in_features", &Linear::in_features)
      .def_readonly("out_features", &Linear::out_features)
      .def_property_readonly("dtype", [](const Linear& self) { return name_of(self.dtype); })
      .def_property_readonly("weight_bytes",
                             [](const Linear& self) { return self.weight.bytes(); });
  py::class_<Norm>(kernels, "Norm");
  py::class_<KernelBackend> backend(kernels, "Backend");
  backend
      .def(py::init([](std::shared_ptr<Backend> on, std::int64_t padding) {
             check(on != nullptr, "backend: got None");
             return KernelBackend{std::move(on), padding};
           }),
           py::arg("backend"), py::arg("padding") = 0)
      .def_property_readonly("name", [](const KernelBackend& self) { return self->name(); })
      .def("activation_dtype",
           [](const KernelBackend& self, const std::string& weights) {
             return name_of(self->activation_dtype(parse_dtype(weights)));
           })
      .def("prepare_linear", &prepare_linear, py::arg("weight"), py::arg("bias") = Arrays(),
           py::arg("dtype") = "float32", py::arg("source_dtype") = "float32")
      .def("prepare_gated", &prepare_gated, py::arg("gate"), py::arg("up"),
           py::arg("gate_bias") = Arrays(), py::arg("up_bias") = Arrays(),
           py::arg("dtype") = "float32", py::arg("source_dtype") = "float32")
      .def("linear", &linear, py::arg("x"), py::arg("weight"), py::arg("activation") = "none",
           py::arg("out_dtype") = "float32")
      .def("linear_gated", &linear_gated, py::arg("x"), py::arg("weight"),
           py::arg("activation") = "silu", py::arg("out_dtype") = "float32")
      .def("linear_add", &linear_add, py::arg("residual"), py::arg("x"), py::arg("weight"),
           py::arg("scale") = std::nullopt)
      .def("linear_add_norm", &linear_add_norm, py::arg("residual"), py::arg("x"),
           py::arg("weight"), py::arg("scale"), py::arg("norm"), py::arg("out_dtype") = "float32");
  bind_row_kernels(backend);
  bind_attention_kernels(kernels, backend);
  bind_measurements(kernels, backend);
  bind_operations(kernels, backend);
}

}  // namespace internvl::bind
