#ifdef __x86_64__
#define INTERNVL_ISA avx2
#include "backend/cpu/simd_avx2.h"
#include "backend/cpu/table_impl.h"

namespace internvl::cpu {

const Kernels& kernels_avx2() {
  static constexpr Kernels kTable = avx2::table("avx2");
  return kTable;
}

}  // namespace internvl::cpu
#endif
