#include "cuda/library.h"

#include <dlfcn.h>

#include <fstream>

#include "core/error.h"

namespace internvl::cuda {

Library::Library(const std::string& soname, const std::vector<std::string>& folders,
                 const std::string& advice)
    : soname_(soname) {
  std::string path = soname;
  for (const std::string& folder : folders) {
    const std::string candidate = folder + '/' + soname;
    if (!std::ifstream(candidate)) continue;
    path = candidate;
    break;
  }
  handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) throw DeviceError(message(soname, ": ", dlerror(), ": ", advice));
}

void* Library::address(const char* name) const {
  void* found = dlsym(handle_, name);
  check<DeviceError>(found != nullptr, soname_, ": ", name, " is missing: a newer one is needed");
  return found;
}

}  // namespace internvl::cuda
