#include "bind/bind.h"

namespace internvl::bind {

void bind_model(pybind11::module_&) {}

}  // namespace internvl::bind
