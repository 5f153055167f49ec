#include "cuda/transfer.h"

#include "core/error.h"
#include "cuda/status.h"

namespace internvl::cuda {
namespace {

/// Whether the host's memory is locked in place, so that the GPU reads it when the copy's turn
/// comes. What is not, CUDA reads before the call returns.
bool is_locked(const void* data) {
  cudaPointerAttributes attributes{};
  check_status(cudaPointerGetAttributes(&attributes, data), "cudaPointerGetAttributes");
  return attributes.type != cudaMemoryTypeUnregistered;
}

}  // namespace

void transfer(const Device& device, Tensor out, Tensor x) {
  check(out.dtype == x.dtype && out.rows == x.rows && out.cols == x.cols,
        "copy: expected one dtype and shape on both sides, got ", name_of(x.dtype), " (", x.rows,
        ", ", x.cols, ") and ", name_of(out.dtype), " (", out.rows, ", ", out.cols, ")");
  check(out.place == Place::kDevice || x.place == Place::kDevice,
        "copy: expected a tensor in the GPU's memory");
  if (out.rows == 0 || out.cols == 0) return;
  const cudaMemcpyKind kind = out.place == Place::kHost ? cudaMemcpyDeviceToHost
                              : x.place == Place::kHost ? cudaMemcpyHostToDevice
                                                        : cudaMemcpyDeviceToDevice;
  const std::size_t size = size_of(out.dtype);
  const UseDevice use(device.context());
  if ((out.stride == out.cols && x.stride == x.cols) || out.rows == 1) {
    check_status(
        cudaMemcpyAsync(out.data, x.data, out.rows * out.cols * size, kind, device.stream()),
        "cudaMemcpyAsync");
  } else {
    check_status(cudaMemcpy2DAsync(out.data, out.stride * size, x.data, x.stride * size,
                                   out.cols * size, out.rows, kind, device.stream()),
                 "cudaMemcpy2DAsync");
  }
  if (out.place == Place::kHost || (x.place == Place::kHost && is_locked(x.data)))
    device.synchronize();
}

}  // namespace internvl::cuda
