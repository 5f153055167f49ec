#include "cuda/stopwatch.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <limits>

#include "cuda/status.h"

namespace internvl::cuda {
namespace {

struct Event {
  Event() { check_status(cudaEventCreate(&event), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream stream) const {
    check_status(cudaEventRecord(event, stream), "cudaEventRecord");
  }

  cudaEvent_t event = nullptr;
};

}  // namespace

float milliseconds(const Device& device, const std::function<void()>& body) {
  constexpr int kRounds = 3;
  constexpr int kRuns = 4;  // queued together: the host is ahead of the device, as in a pass
  const UseDevice use(device.context());
  const Event begin, end;
  body();
  float shortest = std::numeric_limits<float>::max();
  for (int round = 0; round < kRounds; ++round) {
    begin.record(device.stream());
    for (int run = 0; run < kRuns; ++run) body();
    end.record(device.stream());
    check_status(cudaEventSynchronize(end.event), "cudaEventSynchronize");
    float elapsed = 0.0f;
    check_status(cudaEventElapsedTime(&elapsed, begin.event, end.event), "cudaEventElapsedTime");
    shortest = std::min(shortest, elapsed / kRuns);
  }
  return shortest;
}

}  // namespace internvl::cuda
