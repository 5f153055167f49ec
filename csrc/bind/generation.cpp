#include "bind/bind.h"

namespace internvl::bind {

void bind_generation(pybind11::module_&) {}

}  // namespace internvl::bind
