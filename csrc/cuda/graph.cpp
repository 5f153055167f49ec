#include "cuda/graph.h"

#include <utility>

#include "cuda/status.h"

namespace internvl::cuda {
namespace {

struct OwnStream {
  OwnStream() {
    check_status(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  ~OwnStream() { cudaStreamDestroy(stream); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  Stream stream = nullptr;
};

/// What this thread queues while the object lives becomes a graph. It goes to a stream of its own:
/// other threads may be using the device's.
class Capture {
 public:
  explicit Capture(const Device& device) : redirection_(device, own_.stream) {
    check_status(cudaStreamBeginCapture(own_.stream, cudaStreamCaptureModeThreadLocal),
                 "cudaStreamBeginCapture");
  }
  ~Capture() {
    if (graph_ == nullptr) cudaStreamEndCapture(own_.stream, &graph_);  // it was broken off
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
    cudaGetLastError();
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  cudaGraph_t end() {
    check_status(cudaStreamEndCapture(own_.stream, &graph_), "cudaStreamEndCapture");
    return graph_;
  }

 private:
  OwnStream own_;
  Device::Redirection redirection_;
  cudaGraph_t graph_ = nullptr;
};

}  // namespace

Graph::Graph(std::shared_ptr<Device> device, const std::function<void()>& body)
    : device_(std::move(device)) {
  const UseDevice use(device_->context());
  Capture capture(*device_);
  body();
  check_status(cudaGraphInstantiate(&executable_, capture.end(), 0), "cudaGraphInstantiate");
}

Graph::~Graph() {
  give_back(device_->context(), [this] {
    device_->synchronize();  // it may still run, on memory of its own
    cudaGraphExecDestroy(executable_);
  });
}

void Graph::launch() const {
  const UseDevice use(device_->context());
  check_status(cudaGraphLaunch(executable_, device_->stream()), "cudaGraphLaunch");
}

}  // namespace internvl::cuda
