// The instructions that kernels use and CUDA C++ has no function for. tests/cuda/simt/simt.h has a
// twin of each: a change here is a change there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/element.h"

/// An array in the shared memory of the block.
#define INTERNVL_SHARED(T, name, count) __shared__ __align__(16) T name[count]

namespace internvl::cuda {

// ---- vectors: one access of 8 or 16 bytes, at an address that is a multiple of that

template <int kBytes>
struct VectorOf;
template <>
struct VectorOf<8> {
  using Type = uint2;
};
template <>
struct VectorOf<16> {
  using Type = uint4;
};

template <class T>
__device__ __forceinline__ T load_vector(const T* from) {
  using Vector = typename VectorOf<sizeof(T)>::Type;
  const Vector vector = *reinterpret_cast<const Vector*>(from);
  T value;
  memcpy(&value, &vector, sizeof(value));
  return value;
}

template <class T>
__device__ __forceinline__ void store_vector(T* to, const T& value) {
  using Vector = typename VectorOf<sizeof(T)>::Type;
  Vector vector;
  memcpy(&vector, &value, sizeof(value));
  *reinterpret_cast<Vector*>(to) = vector;
}

/// 16 bytes in registers.
struct Bytes16 {
  std::uint32_t words[4];
};

/// Zeros, and nothing is read, unless `fetch`: without a branch, so that loads follow each other,
/// in the order of the source. load_once: of memory that the kernel does not write and that nobody
/// else reads soon; it leaves the L1 cache alone.
__device__ __forceinline__ Bytes16 load_once(const void* from, bool fetch);
__device__ __forceinline__ Bytes16 load_again(const void* from, bool fetch);

#define INTERNVL_LOAD(name, instruction)                                                         \
  __device__ __forceinline__ Bytes16 name(const void* from, bool fetch) {                        \
    Bytes16 value;                                                                               \
    asm volatile(                                                                                \
        "{ .reg .pred fetch; setp.ne.b32 fetch, %5, 0;\n"                                        \
        "mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;\n"                          \
        "@fetch " instruction " {%0, %1, %2, %3}, [%4]; }"                                       \
        : "=r"(value.words[0]), "=r"(value.words[1]), "=r"(value.words[2]), "=r"(value.words[3]) \
        : "l"(from), "r"(fetch ? 1 : 0));                                                        \
    return value;                                                                                \
  }
INTERNVL_LOAD(load_once, "ld.global.nc.L1::no_allocate.v4.u32")
INTERNVL_LOAD(load_again, "ld.global.v4.u32")
#undef INTERNVL_LOAD

// ---- conversions, to nearest even

__device__ __forceinline__ float widen(float value) { return value; }

__device__ __forceinline__ float widen(BFloat16 value) {
  return __uint_as_float(static_cast<std::uint32_t>(value.bits) << 16);
}

__device__ __forceinline__ float widen(Float16 value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}

template <class T>
__device__ __forceinline__ T narrow(float value);

template <>
__device__ __forceinline__ float narrow<float>(float value) {
  return value;
}

template <>
__device__ __forceinline__ BFloat16 narrow<BFloat16>(float value) {
  BFloat16 result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
}

template <>
__device__ __forceinline__ Float16 narrow<Float16>(float value) {
  Float16 result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
  return result;
}

/// Two numbers in one register, `low` at the lower address.
template <class T>
__device__ __forceinline__ std::uint32_t narrow_pair(float low, float high);

template <>
__device__ __forceinline__ std::uint32_t narrow_pair<BFloat16>(float low, float high) {
  std::uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}

template <>
__device__ __forceinline__ std::uint32_t narrow_pair<Float16>(float low, float high) {
  std::uint32_t result;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}

// ---- arithmetic

/// 2^x within 2 units of the last place; 1 at 0, 0 at -infinity.
__device__ __forceinline__ float exp2_approximate(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// ---- asynchronous copies to shared memory

__device__ __forceinline__ std::uint32_t shared_address(const void* address) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(address));
}

/// Starts to copy 16 bytes; writes zeros, and does not read, unless `fetch`.
__device__ __forceinline__ void copy_async16(void* shared, const void* global, bool fetch) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(fetch ? 16 : 0)
               : "memory");
}

/// Ends a group of copies of this thread.
__device__ __forceinline__ void commit_async() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most kInFlight of this thread's groups, the latest, are unfinished. Other threads
/// see the copies after a barrier.
template <int kInFlight>
__device__ __forceinline__ void wait_async() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kInFlight) : "memory");
}

// ---- tensor cores; all lanes of a warp take part

/// Four matrices of 8 x 8: lane 8 m + r points to row r of matrix m; the lane l gets of each the
/// elements (l / 4, 2 (l % 4)) and the one right of it.
__device__ __forceinline__ void load_matrices(std::uint32_t (&matrices)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(shared_address(row))
               : "memory");
}

/// The same of the transposed matrices.
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&matrices)[4],
                                                         const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(shared_address(row))
               : "memory");
}

/// d (16 x 8) += a (16 x 16) b (16 x 8), summed up in float32. With g = lane / 4 and t = lane % 4:
/// a holds columns 2 t, 2 t + 1 of rows g and g + 8, then both 8 columns further; b rows 2 t,
/// 2 t + 1 of column g, then both 8 rows further; d columns 2 t, 2 t + 1 of row g, then of g + 8.
template <class T>
__device__ __forceinline__ void multiply_add(float (&d)[4], const std::uint32_t (&a)[4],
                                             const std::uint32_t* b);

#define INTERNVL_MMA(T, name)                                                               \
  template <>                                                                               \
  __device__ __forceinline__ void multiply_add<T>(float(&d)[4], const std::uint32_t(&a)[4], \
                                                  const std::uint32_t* b) {                 \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                     \
                 ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"     \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));       \
  }
INTERNVL_MMA(BFloat16, "bf16")
INTERNVL_MMA(Float16, "f16")
#undef INTERNVL_MMA

// ---- memory

/// `count` elements of the shared memory that the launch asked for.
template <class T>
__device__ __forceinline__ T* dynamic_shared(std::size_t offset, std::size_t count) {
  extern __shared__ __align__(128) unsigned char internvl_dynamic_shared[];
  (void)count;
  return reinterpret_cast<T*>(internvl_dynamic_shared + offset);
}

}  // namespace internvl::cuda
