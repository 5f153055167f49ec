#include "bind/bind.h"

namespace internvl::bind {

void bind_image(pybind11::module_&) {}

}  // namespace internvl::bind
