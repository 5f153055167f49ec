#ifdef __x86_64__
#define INTERNVL_ISA avx512
#include "backend/cpu/simd_avx512.h"
#include "backend/cpu/table_impl.h"

namespace internvl::cpu {

const Kernels& kernels_avx512() {
  static constexpr Kernels kTable = avx512::table("avx512");
  return kTable;
}

}  // namespace internvl::cpu
#endif
