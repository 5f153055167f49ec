#include "cuda/cudnn.h"

#include "core/error.h"
#include "cuda/library.h"

namespace internvl::cuda {

Cudnn::Cudnn(const std::vector<std::string>& folders) {
  const char* advice = "pip install 'internvl-native[cuda]', which brings nvidia-cudnn-cu13";
  const Library library("libcudnn_graph.so.9", folders, advice);
  const auto get = [&](auto& function, const char* name) {
    function = library.function<std::decay_t<decltype(function)>>(name);
  };
  get(version, "cudnnGetVersion");
  get(cuda_version, "cudnnGetCudartVersion");
  get(error_string, "cudnnGetErrorString");
  get(create, "cudnnCreate");
  get(destroy, "cudnnDestroy");
  get(set_stream, "cudnnSetStream");
  get(create_object, "cudnnBackendCreateDescriptor");
  get(destroy_object, "cudnnBackendDestroyDescriptor");
  get(set_attribute, "cudnnBackendSetAttribute");
  get(get_attribute, "cudnnBackendGetAttribute");
  get(finalize, "cudnnBackendFinalize");
  get(execute, "cudnnBackendExecute");
  const std::size_t cuda = cuda_version() / 1000;
  internvl::check<DeviceError>(version() >= kOldestCudnn && cuda == CUDART_VERSION / 1000,
                               "libcudnn_graph.so.9: expected cuDNN 9.13.1 or newer for CUDA ",
                               CUDART_VERSION / 1000, ", got ", version() / 10000, '.',
                               version() / 100 % 100, '.', version() % 100, " for CUDA ", cuda,
                               ": ", advice);
}

void Cudnn::check(CudnnStatus status, const char* call) const {
  internvl::check<DeviceError>(status == kCudnnSuccess, "cuDNN: ", call, ": ", error_string(status),
                               " (", status, ")");
}

}  // namespace internvl::cuda
