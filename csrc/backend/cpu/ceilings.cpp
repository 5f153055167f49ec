#include "backend/cpu/ceilings.h"

#include <time.h>

#include <algorithm>
#include <vector>

#include "core/thread_pool.h"

namespace internvl::cpu {
namespace {

struct alignas(64) Sink {
  float values[16] = {0.5f, 0.25f};
};

}  // namespace

double benchmark_clock() {
  timespec now;
  clock_gettime(num_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double peak_flops(const Kernels& kernels, DType weights) {
  constexpr std::int64_t kRounds = 50'000;
  constexpr std::int64_t kTasksPerThread = 40;  // many: threads may run at unequal speed
  const auto burn =
      weights == DType::kBFloat16 ? kernels.ceilings.burn_bfloat16 : kernels.ceilings.burn_float32;
  std::vector<Sink> sinks(num_threads());
  std::vector<double> operations(num_threads() * kTasksPerThread);
  const double start = benchmark_clock();
  parallel_for(static_cast<std::int64_t>(operations.size()), [&](std::int64_t task, int thread) {
    operations[task] = burn(kRounds, sinks[thread].values);
  });
  const double seconds = benchmark_clock() - start;
  double total = 0;
  for (double count : operations) total += count;
  return total / seconds;
}

double stream_bandwidth(const Kernels& kernels, const Buffer& memory) {
  constexpr std::int64_t kChunk = std::int64_t{1} << 18;  // floats: 1 MB
  const std::int64_t count = static_cast<std::int64_t>(memory.bytes() / sizeof(float));
  std::vector<Sink> sinks(num_threads());
  const double start = benchmark_clock();
  parallel_for((count + kChunk - 1) / kChunk, [&](std::int64_t task, int thread) {
    kernels.ceilings.read_floats(memory.as<float>() + task * kChunk,
                                 std::min(kChunk, count - task * kChunk), sinks[thread].values);
  });
  return static_cast<double>(memory.bytes()) / (benchmark_clock() - start);
}

}  // namespace internvl::cpu
