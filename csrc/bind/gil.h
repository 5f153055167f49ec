// The GIL, in threads that may outlive the interpreter.
//
// Daemon threads go on computing while the main thread ends the interpreter. One that asks for the
// GIL then is ended by pthread_exit, up to Python 3.13, and what that unwinds are frames of C++:
// the first that must not throw aborts the process. Here such a thread waits for the process to
// end, as Python 3.14 lets it.
#pragma once

#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <optional>

namespace internvl::bind {

[[noreturn]] inline void wait_for_exit() {
  while (true) ::pause();
}

/// Without the GIL, from here to the end of the scope.
class GilReleased {
 public:
  GilReleased() : thread_(PyEval_SaveThread()) {}
  ~GilReleased() {
    try {
      PyEval_RestoreThread(thread_);
    } catch (const abi::__forced_unwind&) {
      wait_for_exit();
    }
  }
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;

 private:
  PyThreadState* thread_;
};

/// What `call` returns, called with the GIL.
template <class Call>
auto with_gil(const Call& call) {
  std::optional<pybind11::gil_scoped_acquire> held;  // not given back where the thread is ended
  try {
    held.emplace();
    return call();
  } catch (const abi::__forced_unwind&) {
    wait_for_exit();
  }
}

}  // namespace internvl::bind
