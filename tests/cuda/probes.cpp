// Kernels that show what single functions of ptx.cuh do, so that the twins in simt/ can be held
// against a device.
#include "cuda/kernels/device.cuh"
#include "library.h"

namespace {

using internvl::BFloat16;
using internvl::Float16;
using namespace internvl::cuda;

/// What every lane gets of a 16 x 16 matrix by load_matrices, row after row of lanes, and of its
/// transposed matrices.
__global__ void load_matrices_probe(std::uint32_t* registers, const std::uint16_t* matrix) {
  INTERNVL_SHARED(std::uint16_t, tile, 256);
  for (unsigned i = threadIdx.x; i < 256; i += kWarp) tile[i] = matrix[i];
  __syncthreads();
  const std::uint16_t* row = tile + threadIdx.x % 16 * 16 + threadIdx.x / 16 * 8;
  std::uint32_t plain[4], transposed[4];
  load_matrices(plain, row);
  load_matrices_transposed(transposed, row);
  for (int i = 0; i < 4; ++i) {
    registers[threadIdx.x * 8 + i] = plain[i];
    registers[threadIdx.x * 8 + 4 + i] = transposed[i];
  }
}

/// d += a b with the registers as they are.
template <class T>
__global__ void multiply_add_probe(float* d, const std::uint32_t* a, const std::uint32_t* b) {
  float sums[4];
  std::uint32_t left[4], right[2];
  for (int i = 0; i < 4; ++i) sums[i] = d[threadIdx.x * 4 + i];
  for (int i = 0; i < 4; ++i) left[i] = a[threadIdx.x * 4 + i];
  for (int i = 0; i < 2; ++i) right[i] = b[threadIdx.x * 2 + i];
  multiply_add<T>(sums, left, right);
  for (int i = 0; i < 4; ++i) d[threadIdx.x * 4 + i] = sums[i];
}

/// Pairs of float32 as one register, and its two elements as float32 again.
template <class T>
__global__ void conversion_probe(std::uint32_t* pairs, float* back, const float* x) {
  const float low = x[2 * threadIdx.x], high = x[2 * threadIdx.x + 1];
  pairs[threadIdx.x] = narrow_pair<T>(low, high);
  back[2 * threadIdx.x] = widen(narrow<T>(low));
  back[2 * threadIdx.x + 1] = widen(narrow<T>(high));
}

}  // namespace

extern "C" {

const char* probe_load_matrices(std::uint32_t* registers, const std::uint16_t* matrix) {
  return internvl::cuda::test::guarded(
      [&] { launch(load_matrices_probe, {1}, kWarp, 0, nullptr, registers, matrix); });
}

const char* probe_multiply_add(bool half, float* d, const std::uint32_t* a,
                               const std::uint32_t* b) {
  return internvl::cuda::test::guarded([&] {
    launch(half ? multiply_add_probe<Float16> : multiply_add_probe<BFloat16>, {1}, kWarp, 0,
           nullptr, d, a, b);
  });
}

const char* probe_conversion(bool half, std::uint32_t* pairs, float* back, const float* x) {
  return internvl::cuda::test::guarded([&] {
    launch(half ? conversion_probe<Float16> : conversion_probe<BFloat16>, {1}, kWarp, 0, nullptr,
           pairs, back, x);
  });
}
}
