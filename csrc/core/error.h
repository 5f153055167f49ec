// Typed errors. Library code never prints, aborts or exits: it throws one of these, and the
// bindings turn it into the Python exception named beside it.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace internvl {

/// A caller's mistake (ValueError).
class InvalidArgument : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A file that is damaged or is not what its config says (CheckpointError, an OSError).
class CheckpointError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An image that cannot be decoded (ImageError, an OSError).
class ImageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A device that is missing, fails or is out of memory (DeviceError, a RuntimeError).
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A broken invariant of this library (RuntimeError).
class InternalError : public std::logic_error {
  using std::logic_error::logic_error;
};

/// message("expected ", 3, ", got ", 4)
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class Error = InvalidArgument, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) throw Error(message(parts...));
}

}  // namespace internvl
