#include "backend/cpu/cpu_backend.h"
#include "core/error.h"

namespace internvl::cpu {

void CpuBackend::attention(Tensor, Tensor, std::int64_t, std::int64_t, float) const {
  throw InternalError("attention: not built yet");
}

std::size_t CpuBackend::kv_page_bytes(const KvShape&) const {
  throw InternalError("kv_page_bytes: not built yet");
}

void CpuBackend::rope_store_kv(Tensor, Tensor, const KvShape&, std::int64_t, std::int64_t,
                               const std::vector<Segment>&) const {
  throw InternalError("rope_store_kv: not built yet");
}

void CpuBackend::attention_cached(Tensor, Tensor, const KvShape&, std::int64_t, std::int64_t,
                                  const std::vector<Segment>&) const {
  throw InternalError("attention_cached: not built yet");
}

}  // namespace internvl::cpu
