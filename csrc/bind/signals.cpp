#include "bind/signals.h"

#include <pybind11/pybind11.h>

#include <chrono>

namespace py = pybind11;

namespace internvl::bind {

// Asking needs the GIL, which other threads may hold for milliseconds: not every layer of a small
// model is worth that.
void check_signals() {
  using Clock = std::chrono::steady_clock;
  static thread_local Clock::time_point last = Clock::now();
  if (Clock::now() - last < std::chrono::milliseconds(20)) return;
  last = Clock::now();
  const py::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

}  // namespace internvl::bind
