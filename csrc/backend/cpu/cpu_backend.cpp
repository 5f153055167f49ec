#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/isa.h"

namespace internvl {
namespace cpu {

CpuBackend::CpuBackend(const Kernels& kernels)
    : kernels_(kernels), name_(std::string("cpu/") + kernels.isa) {}

DType CpuBackend::activation_dtype(DType weights) const {
  const bool pairs = weights == DType::kBFloat16 && kernels_.linear.bfloat16_pairs;
  return pairs ? DType::kBFloat16 : DType::kFloat32;
}

// Calls cost the CPU nothing: there is nothing to record.
void CpuBackend::replay(Recording&, const std::function<void()>& body) const { body(); }

std::byte* thread_scratch(std::size_t bytes) {
  thread_local Buffer scratch;
  if (scratch.bytes() < bytes) scratch = Buffer(bytes);
  return scratch.data();
}

}  // namespace cpu

std::shared_ptr<Backend> make_cpu_backend(std::string_view isa) {
  return std::make_shared<cpu::CpuBackend>(cpu::select_kernels(isa));
}

}  // namespace internvl
