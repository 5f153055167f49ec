// Choosing among the scores of a row by a block: keys, sums over the block, the lowest keys up to a
// limit, a draw. Probabilities and their sums are integers, so that the order of additions, that of
// atomic ones too, changes nothing.
#pragma once

#include "cuda/kernels/element.cuh"
#include "cuda/kernels/kernels.h"
#include "cuda/kernels/reduce.cuh"

namespace internvl::cuda {

constexpr unsigned kSelectThreads = 1024;

/// A probability or an exponential, as a multiple of a power of two. (The type for which CUDA has
/// atomics; std::uint64_t is another one.)
using Mass = unsigned long long;

/// What puts scores in order: the rank, then (kIndexBits) a place among equals.
using Key = unsigned long long;

constexpr int kIndexBits = 18;
constexpr int kKeyBits = 32 + kIndexBits;
constexpr int kDigitBits = 10;  // a digit for each thread
static_assert(1u << kDigitBits == kSelectThreads && kKeyBits % kDigitBits == 0);

static_assert(kMostScores == 1 << kIndexBits && kMostCandidates == kSelectThreads);

/// An order-preserving map of scores to unsigned numbers, as core/order.h orders them: NaN is the
/// largest. -0 becomes 0.
__device__ __forceinline__ std::uint32_t rank_of(float score) {
  if (score != score) return ~0u;
  const std::uint32_t bits = score == 0.0f ? 0u : __float_as_uint(score);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float score_of(std::uint32_t rank) {
  return __uint_as_float(rank & 0x80000000u ? rank ^ 0x80000000u : ~rank);
}

/// Of equal scores the one with the lower index has the lower key.
__device__ __forceinline__ Key rising_key(float score, int index) {
  return Key{rank_of(score)} << kIndexBits | static_cast<unsigned>(index);
}

/// Of equal scores the one with the lower index has the higher key.
__device__ __forceinline__ Key falling_key(float score, int index) {
  return rising_key(score, kMostScores - 1 - index);
}

__device__ __forceinline__ int index_of_falling(Key key) {
  return kMostScores - 1 - static_cast<int>(key & (kMostScores - 1));
}

/// Calls body(index, score) for this thread's share of a row.
template <class Body>
__device__ __forceinline__ void for_each_score(const float* row, int count, Body body) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(row) % (kQuad * sizeof(float)) == 0;
#pragma unroll 2
  for (int first = static_cast<int>(threadIdx.x) * kQuad; first < count;
       first += static_cast<int>(kSelectThreads) * kQuad) {
    float scores[kQuad];
    load_quad(scores, row, first, count, aligned);
    for (int i = 0; i < kQuad; ++i) {
      if (first + i < count) body(first + i, scores[i]);
    }
  }
}

struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// Combines one value of each thread in no particular order; all get the result.
template <class T, class Combine>
__device__ __forceinline__ T reduce_block(T value, Combine combine) {
  INTERNVL_SHARED(T, parts, kSelectThreads / kWarp);
  value = reduce_lanes(value, combine);
  __syncthreads();  // the parts of an earlier call have been read
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = value;
  __syncthreads();
  return reduce_lanes(parts[threadIdx.x % kWarp], combine);
}

/// The sum of the values of this lane and those before it.
template <class T>
__device__ __forceinline__ T scan_lanes(T value) {
  for (unsigned step = 1; step < kWarp; step *= 2) {
    const T before = __shfl_up_sync(kAllLanes, value, step);
    if (threadIdx.x % kWarp >= step) value += before;
  }
  return value;
}

/// The sum of the values of this thread and those before it.
template <class T>
__device__ __forceinline__ T scan_block(T value) {
  INTERNVL_SHARED(T, parts, kSelectThreads / kWarp);
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  value = scan_lanes(value);
  __syncthreads();
  if (lane == kWarp - 1) parts[warp] = value;
  __syncthreads();
  return value + reduce_lanes(lane < warp ? parts[lane] : T{0}, Add());
}

/// A mass, less than 2^46, and how many scores have it, in one number: sums of both at once.
using Tally = unsigned long long;

__device__ __forceinline__ Tally tally_of(Mass mass) { return mass << kIndexBits | 1; }
__device__ __forceinline__ Mass mass_in(Tally tally) { return tally >> kIndexBits; }
__device__ __forceinline__ int count_in(Tally tally) {
  return static_cast<int>(tally % kMostScores);
}

/// Lets the lowest keys go, one after another, as long as accepts(tally) of all that go, which may
/// not be all there are. Returns a number above those and not above the others. `visit` calls its
/// argument with the key and mass of this thread's share; keys are all different.
template <class Visit, class Accepts>
__device__ __forceinline__ Key first_kept(Visit visit, Accepts accepts) {
  struct Digit {
    Tally before;  // of all that goes in front of it
    int count;     // of keys that have it
    unsigned digit;
  };
  INTERNVL_SHARED(Tally, tallies, kSelectThreads);
  INTERNVL_SHARED(Digit, chosen, 1);
  Tally gone = 0;
  Key prefix = 0;
  for (int shift = kKeyBits - kDigitBits; shift >= 0; shift -= kDigitBits) {
    tallies[threadIdx.x] = 0;
    __syncthreads();
    visit([&](Key key, Mass mass) {
      if (key >> (shift + kDigitBits) != prefix) return;
      atomicAdd(tallies + static_cast<unsigned>(key >> shift) % kSelectThreads, tally_of(mass));
    });
    __syncthreads();
    const Tally own = tallies[threadIdx.x];
    const Tally through = gone + scan_block(own);
    const Tally before = through - own;
    if (accepts(before) && !accepts(through)) *chosen = {before, count_in(own), threadIdx.x};
    __syncthreads();
    gone = chosen->before;
    prefix = prefix << kDigitBits | chosen->digit;
    if (chosen->count == 1) return prefix << shift;
  }
  return prefix;
}

/// The first index at which the sum of mass(i), i < count, passes u times the whole sum, u in
/// [0, 1) with at most 53 bits; the whole sum is not 0.
template <class MassOf>
__device__ __forceinline__ int draw(int count, double u, MassOf mass) {
  INTERNVL_SHARED(Mass, parts, kSelectThreads / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  constexpr int kParts = kSelectThreads / kWarp;
  int begin = 0, end = count;
  Mass target = 0;
  for (bool whole = true;; whole = false) {  // a part for each warp, then the same inside of one
    const int size = (end - begin + kParts - 1) / kParts;
    const int part_end = min(begin + (warp + 1) * size, end);
    Mass sum = 0;
    for (int i = begin + warp * size + lane; i < part_end; i += kWarp) sum += mass(i);
    sum = reduce_lanes(sum, Add());
    if (lane == 0) parts[warp] = sum;
    __syncthreads();
    const Mass through = scan_lanes(parts[lane]);
    if (whole) {
      const Mass total = __shfl_sync(kAllLanes, through, kWarp - 1);
      target = __umul64hi(static_cast<Mass>(u * 0x1p64), total);  // rounded down, which is exact
    }
    const int part = __ffs(static_cast<int>(__ballot_sync(kAllLanes, through > target))) - 1;
    if (part > 0) target -= __shfl_sync(kAllLanes, through, part - 1);
    begin += part * size;
    end = min(begin + size, end);
    if (size == 1) return begin;
    __syncthreads();  // the parts have been read
  }
}

}  // namespace internvl::cuda
