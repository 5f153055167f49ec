#include "cuda/status.h"

#include "core/error.h"

namespace internvl::cuda {

void check_status(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // one failure is reported once; what is broken for good reports itself again
  const char* advice = status == cudaErrorInitializationError
                           ? ": a process that was forked after CUDA had started cannot use it; "
                             "multiprocessing's \"spawn\" starts processes that can"
                           : "";
  throw DeviceError(message("CUDA: ", call, ": ", cudaGetErrorString(status), " (",
                            cudaGetErrorName(status), ")", advice));
}

}  // namespace internvl::cuda
