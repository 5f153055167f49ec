// Threads, instruction sets and backends.
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>

#include "backend/backend.h"
#include "bind/bind.h"
#include "bind/gil.h"
#include "core/thread_pool.h"

namespace py = pybind11;

namespace internvl::bind {

void bind_runtime(py::module_& module) {
  module.def("num_threads", &num_threads, "How many threads this process computes with.");
  module.def(
      "set_num_threads",
      [](const py::object& count) {
        if (PyIndex_Check(count.ptr()) == 0)
          throw py::type_error("num_threads: expected an integer, got " +
                               py::repr(count).cast<std::string>());
        // A null exception type clips integers of any size.
        const auto threads = std::clamp<py::ssize_t>(PyNumber_AsSsize_t(count.ptr(), nullptr),
                                                     std::numeric_limits<int>::min(),
                                                     std::numeric_limits<int>::max());
        const GilReleased unlocked;
        set_num_threads(static_cast<int>(threads));
      },
      py::arg("count"),
      "Sets how many threads this process computes with, 1 to 1024. ValueError for other numbers.");
  module.def("cpu_isas", &cpu_isas, "Instruction sets that this CPU can run, the best one last.");
  // Backends in shared objects of their own make objects of this class, too.
  py::class_<Backend, std::shared_ptr<Backend>>(module, "Backend", "What models compute on.")
      .def_property_readonly("name", &Backend::name, "'cpu/avx512bf16', ...");
  module.def("cpu_backend", &make_cpu_backend, py::arg("isa") = "",
             "The CPU, with an instruction set of cpu_isas(); the best one if that is empty.");
}

}  // namespace internvl::bind
