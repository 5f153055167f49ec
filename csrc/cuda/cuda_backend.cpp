#include "cuda/cuda_backend.h"

#include <algorithm>

#include "cuda/graph.h"

namespace internvl::cuda {

CudaBackend::CudaBackend(int device, const std::vector<std::string>& library_folders,
                         std::size_t budget, const std::string& attention, Log log)
    : device_(std::make_shared<Device>(device, budget)),
      matmul_(std::make_unique<Matmul>(device_, library_folders)),
      full_attention_(
          std::make_unique<FullAttention>(device_, library_folders, attention, std::move(log))),
      name_("cuda:" + std::to_string(device)) {}

// A share of what is free: the rest is for keys, values and other models. Beyond the upper bound,
// more tiles in one product no longer make it faster.
std::int64_t CudaBackend::vision_workspace() const {
  constexpr std::int64_t kLeast = std::int64_t{64} << 20;
  constexpr std::int64_t kMost = std::int64_t{8} << 30;
  return std::clamp(static_cast<std::int64_t>(device_->available() / 4), kLeast, kMost);
}

// The first call only runs the body: it loads kernels and chooses algorithms, which a recording
// must not do.
void CudaBackend::replay(Recording& recording, const std::function<void()>& body) const {
  if (recording == nullptr) {
    body();
    recording = std::make_shared<std::unique_ptr<Graph>>();
    return;
  }
  auto& graph = *static_cast<std::unique_ptr<Graph>*>(recording.get());
  if (graph == nullptr) graph = std::make_unique<Graph>(device_, body);
  graph->launch();
}

}  // namespace internvl::cuda
