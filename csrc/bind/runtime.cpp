// Threads and instruction sets.
#include <pybind11/stl.h>

#include "backend/backend.h"
#include "bind/bind.h"
#include "core/thread_pool.h"

namespace py = pybind11;

namespace internvl::bind {

void bind_runtime(py::module_& module) {
  module.def("num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads, py::arg("count"),
             py::call_guard<py::gil_scoped_release>());
  module.def("cpu_isas", &cpu_isas);
}

}  // namespace internvl::bind
