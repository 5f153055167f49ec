#include "bind/bind.h"

namespace internvl::bind {

void bind_kernels(pybind11::module_&) {}

}  // namespace internvl::bind
