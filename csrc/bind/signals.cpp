#include "bind/signals.h"

#include <pybind11/eval.h>
#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

#include <chrono>

#include "bind/gil.h"

namespace py = pybind11;

namespace internvl::bind {

void throw_pending() {
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  // What PyThreadState_SetAsyncExc() left for this thread waits for a step of the interpreter.
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> step;
  step.call_once_and_store_result([] { return py::eval("lambda: None", py::dict()); })
      .get_stored()();
}

// Asking needs the GIL, which other threads may hold for milliseconds: not every layer of a small
// model is worth that.
void check_signals() {
  using Clock = std::chrono::steady_clock;
  static thread_local Clock::time_point last = Clock::now();
  if (Clock::now() - last < std::chrono::milliseconds(20)) return;
  last = Clock::now();
  with_gil(throw_pending);
}

}  // namespace internvl::bind
