// All kernels of one instruction set; included last by kernels_<isa>.cpp.
#pragma once

#include "backend/cpu/attention_impl.h"
#include "backend/cpu/ceilings_impl.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/linear_impl.h"
#include "backend/cpu/resample_impl.h"
#include "backend/cpu/rows_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

constexpr Kernels table(const char* isa) {
  return {isa,           linear_kernels(),   attention_kernels(),
          row_kernels(), resample_kernels(), ceiling_kernels()};
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
