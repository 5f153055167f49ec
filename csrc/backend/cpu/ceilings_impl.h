// What this instruction set can reach at best: arithmetic on registers, and reading memory.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/linear_impl.h"

namespace internvl::cpu {
namespace INTERNVL_ISA {

// More chains than latency times throughput on any CPU, and few enough for 16 registers.
constexpr int kChains = 12;
#define INTERNVL_CHAINS _Pragma("GCC unroll 12")

/// *sink is read, too: the compiler must not know the operands.
inline double burn_float32(std::int64_t rounds, float* sink) {
  const Vec a = broadcast(sink[0]);
  const Vec b = broadcast(sink[1]);
  Vec sum[kChains];
  INTERNVL_CHAINS for (int i = 0; i < kChains; ++i) sum[i] = broadcast(static_cast<float>(i));
  for (std::int64_t r = 0; r < rounds; ++r) {
    INTERNVL_CHAINS for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], a, b);
  }
  INTERNVL_CHAINS for (int i = 1; i < kChains; ++i) sum[0] = add(sum[0], sum[i]);
  sink[2] = reduce_add(sum[0]);
  return 2.0 * kWidth * kChains * static_cast<double>(rounds);
}

#ifdef INTERNVL_HAS_PAIRS
inline double burn_pairs(std::int64_t rounds, float* sink) {
  const Pairs a = broadcast_pair(reinterpret_cast<const BFloat16*>(sink));
  const Pairs b = broadcast_pair(reinterpret_cast<const BFloat16*>(sink + 1));
  Vec sum[kChains];
  INTERNVL_CHAINS for (int i = 0; i < kChains; ++i) sum[i] = broadcast(static_cast<float>(i));
  for (std::int64_t r = 0; r < rounds; ++r) {
    INTERNVL_CHAINS for (int i = 0; i < kChains; ++i) sum[i] = fma_pairs(a, b, sum[i]);
  }
  INTERNVL_CHAINS for (int i = 1; i < kChains; ++i) sum[0] = add(sum[0], sum[i]);
  sink[2] = reduce_add(sum[0]);
  return 4.0 * kWidth * kChains * static_cast<double>(rounds);
}
#endif

inline void read_floats(const float* from, std::int64_t count, float* sink) {
  constexpr int kLine = 64 / sizeof(float);
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  for (std::int64_t i = 0; i + 4 * kLine <= count; i += 4 * kLine) {
    INTERNVL_UNROLL for (int line = 0; line < 4; ++line) {
      const float* at = from + i + line * kLine;
      prefetch(reinterpret_cast<const char*>(at) + kPrefetchBytes);
      INTERNVL_UNROLL for (int j = 0; j < kLine; j += kWidth) {
        sum[line] = add(sum[line], load(at + j));
      }
    }
  }
  sink[2] = reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
}

constexpr CeilingKernels ceiling_kernels() {
#ifdef INTERNVL_HAS_PAIRS
  return {burn_float32, burn_pairs, read_floats};
#else
  return {burn_float32, burn_float32, read_floats};
#endif
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
