#define INTERNVL_ISA generic
#include "backend/cpu/simd_generic.h"
#include "backend/cpu/table_impl.h"

namespace internvl::cpu {

const Kernels& kernels_generic() {
  static constexpr Kernels kTable = generic::table("generic");
  return kTable;
}

}  // namespace internvl::cpu
