// Which instruction set to run on.
#pragma once

#include <string_view>

#include "backend/cpu/kernels.h"

namespace internvl::cpu {

/// The kernels of `isa`; if that is empty, of INTERNVL_NATIVE_ISA; if that is unset or empty, of
/// the best instruction set of this CPU. Throws InvalidArgument for an unknown name and for one
/// that the CPU lacks.
const Kernels& select_kernels(std::string_view isa);

}  // namespace internvl::cpu
