// `_core.kernels`: timings for benchmarks/, in C++ so that no conversion of arrays is timed.
#include <pybind11/stl.h>

#include <cstring>
#include <vector>

#include "backend/cpu/ceilings.h"
#include "backend/cpu/isa.h"
#include "backend/transfer.h"
#include "bind/gil.h"
#include "bind/kernels.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

double peak_flops(const std::string& isa, const std::string& dtype) {
  return cpu::peak_flops(cpu::select_kernels(isa), parse_dtype(dtype));
}

/// Memory to read; kept between measurements.
class Stream {
 public:
  Stream(const std::string& isa, std::size_t bytes)
      : kernels_(cpu::select_kernels(isa)), memory_(bytes) {
    std::memset(memory_.data(), 0, bytes);
  }

  double bandwidth() const { return cpu::stream_bandwidth(kernels_, memory_); }

 private:
  const cpu::Kernels& kernels_;
  Buffer memory_;
};

/// Seconds of each of `repeats` passes over all `weights`.
std::vector<double> time_linear(const KernelBackend& self,
                                const std::vector<const Linear*>& weights, std::int64_t rows,
                                const std::string& operation, const std::string& activation,
                                int repeats) {
  check(!weights.empty(), "weights: expected at least one");
  const Activation function = parse_activation(activation);
  const DType dtype = self->activation_dtype(weights[0]->dtype);
  const std::size_t bytes = rows * weights[0]->in_features * size_of(dtype);
  Matrix numbers(Buffer(bytes), dtype, rows, weights[0]->in_features);
  // 0x3c3c.. is about 0.01 in every dtype: ordinary numbers, which cost what ordinary numbers cost.
  std::memset(numbers.tensor().data, 0x3c, bytes);
  const Matrix x = keep_on_backend(*self.backend, std::move(numbers));
  const Matrix out =
      self->matrix(operation == "add" ? DType::kFloat32 : dtype, rows, weights[0]->out_features);
  const GilReleased release;
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const double start = cpu::benchmark_clock();
    for (const Linear* weight : weights) {
      if (operation == "linear") {
        self->linear(out, x, *weight, function);
      } else if (operation == "gated") {
        self->linear_gated(out, x, *weight, function);
      } else {
        check(operation == "add", "operation: expected 'linear', 'gated' or 'add', got '",
              operation, "'");
        self->linear_add(out, x, *weight);
      }
    }
    seconds.push_back(cpu::benchmark_clock() - start);
  }
  return seconds;
}

}  // namespace

void bind_measurements(py::module_& kernels, py::class_<KernelBackend>& backend) {
  kernels.def("peak_flops", &peak_flops, py::arg("isa") = "", py::arg("dtype") = "float32",
              py::call_guard<GilReleased>());
  py::class_<Stream>(kernels, "Stream")
      .def(py::init<const std::string&, std::size_t>(), py::arg("isa") = "",
           py::arg("bytes") = std::size_t{256} << 20)
      .def("bandwidth", &Stream::bandwidth, py::call_guard<GilReleased>());
  backend.def("time_linear", &time_linear, py::arg("weights"), py::arg("rows"),
              py::arg("operation") = "linear", py::arg("activation") = "none",
              py::arg("repeats") = 3);
}

}  // namespace internvl::bind
