// Python's module `_cuda`. Its backends are objects of the class `Backend` of `_core`, which also
// translates the exceptions thrown here.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bind/gil.h"
#include "core/error.h"
#include "cuda/cuda_backend.h"

namespace py = pybind11;

namespace {

/// A backend that backend() has returned.
const internvl::cuda::CudaBackend& on_gpu(const internvl::Backend& backend) {
  const auto* cuda = dynamic_cast<const internvl::cuda::CudaBackend*>(&backend);
  internvl::check(cuda != nullptr, "backend: expected one on a GPU, got ", backend.name());
  return *cuda;
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
  using namespace internvl;
  py::module_::import("internvl_native._core");
  module.def(
      "open_libraries",
      [](const std::vector<std::string>& folders) {
        const int count = cuda::device_count();
        int device = 0;
        while (device < count && !cuda::is_supported(device)) ++device;
        check<DeviceError>(device < count,
                           "all GPUs are older than NVIDIA's Ampere (compute capability 8.0), for "
                           "which this package has code");
        cuda::CublasLt{folders};
      },
      py::arg("folders"),
      "Raises DeviceError, saying what to install, where the driver, a GPU that is supported or "
      "cuBLASLt is missing.\n"
      "Libraries are looked for in `folders`, then where the system looks.");
  module.def("device_count", &cuda::device_count, "GPUs that this process may use.");
  module.def("is_supported", &cuda::is_supported, py::arg("device"),
             "Whether there is code for a GPU: compute capability 8.0 or newer.");
  module.def(
      "memory",
      [](int device) {
        const cuda::MemoryInfo info = cuda::memory_info(device);
        return py::make_tuple(info.free, info.total);
      },
      py::arg("device"), "(free, total) bytes of a GPU.");
  module.def(
      "backend",
      [](int device, const std::vector<std::string>& folders, std::size_t budget,
         const std::string& attention, cuda::Log log) -> std::shared_ptr<Backend> {
        return std::make_shared<cuda::CudaBackend>(device, folders, budget, attention,
                                                   std::move(log));
      },
      py::arg("device"), py::arg("folders"), py::arg("budget") = 0, py::arg("attention") = "auto",
      py::arg("log") = py::none(),
      "A backend on one GPU, of whose memory it takes at most `budget` bytes; 0 for all of it.\n"
      "`attention` of the vision transformer: \"native\", \"cudnn\", or \"auto\" for the faster "
      "one;\n`log` is called with a line for each choice.");
  module.def(
      "stream",
      [](const Backend& backend) {
        return reinterpret_cast<std::uintptr_t>(on_gpu(backend).stream());
      },
      py::arg("backend"), "The CUDA stream that a backend queues its work on: a cudaStream_t.");
  module.def(
      "synchronize", [](const Backend& backend) { on_gpu(backend).synchronize(); },
      py::arg("backend"), py::call_guard<internvl::bind::GilReleased>(),
      "Waits for all work that a backend has queued.");
}
