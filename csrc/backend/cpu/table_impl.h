// All kernels of one instruction set; included last by kernels_<isa>.cpp.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/linear_impl.h"
#include "backend/cpu/math_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr Kernels table(const char* isa) { return {isa, linear_kernels()}; }

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
