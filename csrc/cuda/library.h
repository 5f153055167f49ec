// Shared objects that are opened at run time, so that a machine without them can load this one.
#pragma once

#include <string>
#include <vector>

namespace internvl::cuda {

class Library {
 public:
  /// Opens `soname` in the first of `folders` that has it, else where the system looks. Throws
  /// DeviceError, ending in `advice`, where there is none.
  Library(const std::string& soname, const std::vector<std::string>& folders,
          const std::string& advice);

  /// The function of this name. Throws DeviceError if the library is too old to have it.
  template <class Function>
  Function function(const char* name) const {
    return reinterpret_cast<Function>(address(name));
  }

 private:
  void* address(const char* name) const;

  std::string soname_;
  void* handle_;  // never closed: threads of the library may outlive us
};

}  // namespace internvl::cuda
