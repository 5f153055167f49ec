#include "bind/bind.h"

namespace internvl::bind {

void bind_checkpoint(pybind11::module_&) {}

}  // namespace internvl::bind
