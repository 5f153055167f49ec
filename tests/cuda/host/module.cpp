// Python's module `_cuda_host`: the host code of csrc/cuda, on numpy arrays.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "core/matrix.h"
#include "cuda/cudnn_attention.h"
#include "cuda/graph.h"
#include "cuda/matmul.h"
#include "cuda/stopwatch.h"
#include "cuda/transfer.h"
#include "machine.h"

namespace py = pybind11;

namespace internvl::cuda {
namespace {

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

/// Rows of `cols` elements in the memory of a device, `stride` elements apart.
struct Rows {
  std::shared_ptr<Device> device;
  Matrix storage;
  Tensor tensor;
};

Tensor host_view(const Bytes& bytes, const Tensor& like) {
  return {const_cast<std::uint8_t*>(bytes.data()),
          like.dtype,
          like.rows,
          like.cols,
          like.cols,
          Place::kHost};
}

Rows make_rows(const std::shared_ptr<Device>& device, int dtype, std::int64_t rows,
               std::int64_t cols, std::int64_t stride) {
  const auto type = static_cast<DType>(dtype);
  Matrix storage(device->allocate(rows * stride * size_of(type)), type, rows, stride);
  const Tensor tensor = storage.tensor().slice_cols(0, cols);
  return {device, std::move(storage), tensor};
}

Bytes download(const Rows& rows) {
  const auto bytes = rows.tensor.rows * rows.tensor.cols * size_of(rows.tensor.dtype);
  Bytes result(static_cast<py::ssize_t>(bytes));
  transfer(*rows.device, host_view(result, rows.tensor), rows.tensor);
  return result;
}

}  // namespace
}  // namespace internvl::cuda

PYBIND11_MODULE(_cuda_host, module) {
  using namespace internvl;
  using namespace internvl::cuda;
  py::module_::import("internvl_native._core");  // it translates exceptions
  module.def("set_machine", &standin::set_machine, py::arg("devices"), py::arg("bytes"));
  module.def("contexts", &standin::contexts);
  module.def("live_allocations", &standin::live_allocations);
  module.def("synchronizations", &standin::synchronizations);
  module.def("set_capability", &standin::set_capability, py::arg("major"));
  module.def("set_locked", &standin::set_locked, py::arg("locked"));
  module.def("device_count", &device_count);
  module.def("is_supported", &is_supported, py::arg("device"));
  module.def("memory", [](int device) {
    const MemoryInfo info = memory_info(device);
    return py::make_tuple(info.free, info.total);
  });
  py::class_<Device, std::shared_ptr<Device>>(module, "Device")
      .def(py::init<int, std::size_t>(), py::arg("index"), py::arg("budget") = 0)
      .def("rows", &make_rows, py::arg("dtype"), py::arg("rows"), py::arg("cols"),
           py::arg("stride"))
      .def("available", &Device::available);
  py::class_<Rows>(module, "Rows")
      .def("upload",
           [](const Rows& rows, const Bytes& bytes) {
             transfer(*rows.device, rows.tensor, host_view(bytes, rows.tensor));
           })
      .def("copy_from", [](const Rows& rows,
                           const Rows& from) { transfer(*rows.device, rows.tensor, from.tensor); })
      .def("download", &download);
  py::class_<Graph>(module, "Graph")
      .def(py::init<std::shared_ptr<Device>, const std::function<void()>&>(), py::arg("device"),
           py::arg("body"))
      .def("launch", &Graph::launch);
  py::class_<CudnnAttention>(module, "CudnnAttention")
      .def(py::init<std::shared_ptr<Device>, const std::vector<std::string>&>(), py::arg("device"),
           py::arg("folders"))
      .def("__call__", [](CudnnAttention& self, const Rows& out, const Rows& qkv,
                          std::int64_t tokens, std::int64_t heads,
                          float scale) { self(out.tensor, qkv.tensor, tokens, heads, scale); });
  module.def(
      "milliseconds",
      [](const Device& device, const std::function<void()>& body) {
        return milliseconds(device, body);
      },
      py::arg("device"), py::arg("body"));
  py::class_<Matmul>(module, "Matmul")
      .def(py::init<std::shared_ptr<Device>, const std::vector<std::string>&>(), py::arg("device"),
           py::arg("folders"))
      .def(
          "__call__",
          [](Matmul& self, const Rows& out, const Rows& x, const Rows& weight, const Rows* bias,
             bool accumulate) {
            self(out.tensor, x.tensor, weight.tensor, bias == nullptr ? nullptr : bias->tensor.data,
                 accumulate);
          },
          py::arg("out"), py::arg("x"), py::arg("weight"), py::arg("bias") = nullptr,
          py::arg("accumulate") = false);
}
