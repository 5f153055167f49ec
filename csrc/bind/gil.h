// The GIL, in threads that may outlive the interpreter.
//
// Daemon threads go on computing while the main thread ends the interpreter. One that asks for the
// GIL then is ended by pthread_exit, up to Python 3.13, and what that unwinds are frames of C++:
// the first that must not throw aborts the process. Here such a thread waits for the process to
// end, as Python 3.14 lets it. What unwinds it has no object to refer to: only catch (...) meets it
// without undefined behaviour.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <exception>
#include <optional>

namespace internvl::bind {

[[noreturn]] inline void wait_for_exit() {
  while (true) ::pause();
}

/// The same for threads that are ended in other libraries' bindings, sentencepiece's for one: where
/// their frames would abort the process, std::terminate() waits.
void keep_ended_threads();

/// Without the GIL, from here to the end of the scope.
class GilReleased {
 public:
  GilReleased() : thread_(PyEval_SaveThread()) {}
  ~GilReleased() {
    try {
      PyEval_RestoreThread(thread_);
    } catch (...) {
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
  } catch (const std::exception&) {
    throw;
  } catch (...) {
    wait_for_exit();
  }
}

}  // namespace internvl::bind
