// Python's module `_detached`. Its Backend is the class of `_core`, which has to be loaded.
#include <pybind11/pybind11.h>

#include "detached_backend.h"

namespace py = pybind11;

PYBIND11_MODULE(_detached, module) {
  py::module_::import("internvl_native._core");
  module.def(
      "detached",
      [](std::shared_ptr<internvl::Backend> cpu) -> std::shared_ptr<internvl::Backend> {
        return std::make_shared<internvl::test::DetachedBackend>(std::move(cpu));
      },
      py::arg("cpu"), "A backend that computes as `cpu` does, in memory of its own.");
}
