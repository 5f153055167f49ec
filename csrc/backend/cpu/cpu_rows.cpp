#include "backend/cpu/cpu_backend.h"
#include "core/error.h"

namespace internvl::cpu {

void CpuBackend::copy(Tensor, Tensor) const { throw InternalError("copy: not built yet"); }

void CpuBackend::patchify(Tensor, Tensor, std::int64_t, std::int64_t, std::int64_t,
                          std::int64_t) const {
  throw InternalError("patchify: not built yet");
}

void CpuBackend::vision_embed(Tensor, Tensor, Tensor, Tensor) const {
  throw InternalError("vision_embed: not built yet");
}

void CpuBackend::embed(Tensor, Tensor, const std::int32_t*) const {
  throw InternalError("embed: not built yet");
}

void CpuBackend::norm(Tensor, Tensor, const Norm&) const {
  throw InternalError("norm: not built yet");
}

void CpuBackend::pixel_shuffle(Tensor, Tensor, std::int64_t, std::int64_t, bool) const {
  throw InternalError("pixel_shuffle: not built yet");
}

}  // namespace internvl::cpu
