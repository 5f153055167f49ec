// The kernels of resampling alone: compiling the others with the sanitizers takes minutes.
#ifdef __AVX2__
#include <immintrin.h>
#endif

#include "backend/cpu/isa.h"
#define INTERNVL_ISA fuzzed
#include "backend/cpu/resample_impl.h"

namespace internvl::cpu {

const Kernels& select_kernels(std::string_view) {
  static constexpr Kernels kTable = {"fuzzed", {}, {}, {}, fuzzed::resample_kernels(), {}};
  return kTable;
}

}  // namespace internvl::cpu
