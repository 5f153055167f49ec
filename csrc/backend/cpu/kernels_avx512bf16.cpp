#ifdef __x86_64__
#define INTERNVL_ISA avx512bf16
#include "backend/cpu/simd_avx512.h"
#include "backend/cpu/table_impl.h"

namespace internvl::cpu {

const Kernels& kernels_avx512bf16() {
  static constexpr Kernels kTable = avx512bf16::table("avx512bf16");
  return kTable;
}

}  // namespace internvl::cpu
#endif
