#include "bind/gil.h"

#include <sys/syscall.h>

namespace internvl::bind {
namespace {

bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

/// The main thread ends the interpreter; what ends another one is no exception of C++.
bool is_ended_thread() {
  return is_finalizing() && std::current_exception() == nullptr &&
         ::syscall(SYS_gettid) != ::getpid();
}

}  // namespace

void keep_ended_threads() {
  static const std::terminate_handler previous = std::set_terminate([] {
    if (is_ended_thread()) wait_for_exit();
    previous();
  });
}

}  // namespace internvl::bind
