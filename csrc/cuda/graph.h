// Work that is recorded once and then queued at the price of one launch: a CUDA graph.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>

#include "cuda/device.h"

namespace internvl::cuda {

class Graph {
 public:
  /// Records what `body` queues on the device, without doing it. What `body` throws goes on.
  Graph(std::shared_ptr<Device> device, const std::function<void()>& body);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Queues it on the device's stream.
  void launch() const;

 private:
  std::shared_ptr<Device> device_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace internvl::cuda
