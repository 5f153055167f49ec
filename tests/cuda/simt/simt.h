// What a kernel of csrc/cuda sees when g++ compiles it: CUDA's keywords, variables and functions,
// and the twins of the instructions in csrc/cuda/kernels/ptx.cuh, under the same names. Loads and
// stores stay plain C++: the compiler's thread sanitizer pass reports each of them to memory.cpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#include "core/dtype.h"
#include "cuda/kernels/stream.h"

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)

/// An array in the shared memory of the block, with bounds of its own.
#define INTERNVL_SHARED(T, name, count) \
  T* const name = static_cast<T*>(simt::shared_array(sizeof(T) * (count), __FILE__, __LINE__))

namespace simt {

struct Index {
  unsigned x, y, z;
};

struct Geometry {
  Index grid;
  unsigned threads;
  std::size_t dynamic_bytes;
};

/// Runs `body(arguments)` in every thread of every block; throws Fault at the first sin.
void run(const Geometry& geometry, void (*body)(const void*), const void* arguments,
         std::size_t argument_bytes);

/// Takes launches, which it does then or later; without one they are done at once.
extern void (*queue)(internvl::cuda::Stream stream, std::function<void()> launch);

void* shared_array(std::size_t bytes, const char* file, int line);
void* dynamic_shared(std::size_t offset, std::size_t bytes, const char* file, int line);

/// Where in a kernel an operation was called.
struct Site {
  const char* file;
  int line;
};

/// One lane's part in an operation of the warp.
struct Lane {
  Site site;
  const char* operation;
  unsigned mask;
};

/// Given all lanes of the mask, the others null.
using Resolve = void (*)(Lane* const* lanes);

/// Waits until all lanes of `lane.mask` are here, of which the last one calls `resolve`.
void meet(Lane& lane, Resolve resolve);

void sync_threads(Site site);
void sync_warp(unsigned mask, Site site);

enum class Shuffle { kIndex, kUp, kDown, kXor };
std::uint32_t shuffle(Shuffle kind, unsigned mask, std::uint32_t value, int operand, int width,
                      Site site);
unsigned ballot(unsigned mask, bool predicate, Site site);

/// The bytes at `address` before they are read or written: at most 16, aligned to their number.
void check_read(const void* address, std::size_t bytes);
void check_write(void* address, std::size_t bytes);
void check_atomic(void* address, std::size_t bytes);

/// memcpy that is not checked again.
void copy(void* to, const void* from, std::size_t bytes);

void copy_async(void* shared, const void* global, bool fetch, Site site);
void commit_async();
void wait_async(int groups_in_flight);
void load_matrices(std::uint32_t* matrices, const void* row, bool transposed, Site site);
void multiply_add(float* d, const std::uint32_t* a, const std::uint32_t* b, internvl::DType dtype,
                  Site site);

template <class To, class From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

template <class T>
inline T shuffle_value(Shuffle kind, unsigned mask, T value, int operand, int width, Site site) {
  if constexpr (sizeof(T) == 8) {
    const auto bits = bit_cast<std::uint64_t>(value);
    const auto half = [&](std::uint64_t part) {
      return shuffle_value(kind, mask, static_cast<std::uint32_t>(part), operand, width, site);
    };
    const std::uint64_t low = half(bits), high = half(bits >> 32);
    return bit_cast<T>(high << 32 | low);
  } else {
    return bit_cast<T>(shuffle(kind, mask, bit_cast<std::uint32_t>(value), operand, width, site));
  }
}

}  // namespace simt

extern simt::Index threadIdx, blockIdx, blockDim, gridDim;

#define SIMT_SITE \
  simt::Site { file, line }
#define SIMT_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(SIMT_CALLER) { simt::sync_threads(SIMT_SITE); }
inline void __syncwarp(unsigned mask = ~0u, SIMT_CALLER) { simt::sync_warp(mask, SIMT_SITE); }

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SIMT_CALLER) {
  return simt::shuffle_value(simt::Shuffle::kIndex, mask, value, lane, width, SIMT_SITE);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_CALLER) {
  return simt::shuffle_value(simt::Shuffle::kUp, mask, value, static_cast<int>(delta), width,
                             SIMT_SITE);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_CALLER) {
  return simt::shuffle_value(simt::Shuffle::kDown, mask, value, static_cast<int>(delta), width,
                             SIMT_SITE);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SIMT_CALLER) {
  return simt::shuffle_value(simt::Shuffle::kXor, mask, value, lanes, width, SIMT_SITE);
}

inline unsigned __ballot_sync(unsigned mask, bool predicate, SIMT_CALLER) {
  return simt::ballot(mask, predicate, SIMT_SITE);
}
inline bool __any_sync(unsigned mask, bool predicate, SIMT_CALLER) {
  return simt::ballot(mask, predicate, SIMT_SITE) != 0;
}
inline bool __all_sync(unsigned mask, bool predicate, SIMT_CALLER) {
  return simt::ballot(mask, predicate, SIMT_SITE) == mask;
}

namespace simt {
/// Replaces the value by change(value); returns what it was.
template <class T, class Change>
inline T atomic(T* address, Change change) {
  T before;
  check_atomic(address, sizeof(T));
  copy(&before, address, sizeof(T));
  const T after = change(before);
  copy(address, &after, sizeof(T));
  return before;
}
}  // namespace simt

template <class T>
inline T atomicAdd(T* address, T value) {
  return simt::atomic(address, [value](T before) { return before + value; });
}
template <class T>
inline T atomicMax(T* address, T value) {
  return simt::atomic(address, [value](T before) { return value > before ? value : before; });
}
template <class T>
inline T atomicOr(T* address, T value) {
  return simt::atomic(address, [value](T before) { return before | value; });
}

template <class T>
inline T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
inline T max(T a, T b) {
  return a < b ? b : a;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(Wide{a} * b >> 64);
}
inline unsigned __float_as_uint(float value) { return simt::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return simt::bit_cast<float>(bits); }

namespace internvl::cuda {

// ---- twins of ptx.cuh

template <class T>
inline T load_vector(const T* from) {
  simt::check_read(from, sizeof(T));
  T value;
  simt::copy(&value, from, sizeof(T));
  return value;
}

template <class T>
inline void store_vector(T* to, const T& value) {
  simt::check_write(to, sizeof(T));
  simt::copy(to, &value, sizeof(T));
}

/// 16 bytes in registers.
struct Bytes16 {
  std::uint32_t words[4];
};

inline Bytes16 load_once(const void* from, bool fetch) {
  return fetch ? load_vector(static_cast<const Bytes16*>(from)) : Bytes16{};
}
inline Bytes16 load_again(const void* from, bool fetch) { return load_once(from, fetch); }

inline float widen(float value) { return value; }
inline float widen(BFloat16 value) { return to_float(value); }
inline float widen(Float16 value) { return to_float(value); }

template <class T>
inline T narrow(float value) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(value);
  } else {
    return to_float16(value);
  }
}

template <class T>
inline std::uint32_t narrow_pair(float low, float high) {
  return narrow<T>(low).bits | std::uint32_t{narrow<T>(high).bits} << 16;
}

inline float exp2_approximate(float x) { return std::exp2(x); }

inline void copy_async16(void* shared, const void* global, bool fetch, SIMT_CALLER) {
  simt::copy_async(shared, global, fetch, SIMT_SITE);
}
inline void commit_async() { simt::commit_async(); }
template <int kInFlight>
inline void wait_async() {
  simt::wait_async(kInFlight);
}

inline void load_matrices(std::uint32_t (&matrices)[4], const void* row, SIMT_CALLER) {
  simt::load_matrices(matrices, row, false, SIMT_SITE);
}
inline void load_matrices_transposed(std::uint32_t (&matrices)[4], const void* row, SIMT_CALLER) {
  simt::load_matrices(matrices, row, true, SIMT_SITE);
}

template <class T>
inline void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t* b,
                         SIMT_CALLER) {
  constexpr DType kDType = std::is_same_v<T, BFloat16> ? DType::kBFloat16 : DType::kFloat16;
  simt::multiply_add(d, a, b, kDType, SIMT_SITE);
}

template <class T>
inline T* dynamic_shared(std::size_t offset, std::size_t count, SIMT_CALLER) {
  return static_cast<T*>(simt::dynamic_shared(offset, count * sizeof(T), file, line));
}

// ---- launching (launch.cuh)

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, unsigned threads, std::size_t dynamic_bytes,
            Stream stream, Arguments... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  };
  const Call call{kernel, std::tuple<Parameters...>(arguments...)};
  const auto body = [](const void* address) {
    const Call& self = *static_cast<const Call*>(address);
    std::apply(self.kernel, self.arguments);
  };
  const auto run = [=] {
    simt::run({{grid.x, grid.y, grid.z}, threads, dynamic_bytes}, body, &call, sizeof(call));
  };
  if (simt::queue == nullptr) return run();
  simt::queue(stream, run);
}

}  // namespace internvl::cuda
