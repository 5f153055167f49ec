// From scores to tokens: the argmax, the penalty of repetitions, temperature and top-k, and the
// best candidates of beams. A block has one row (of a prompt's beams: all of their rows).
//
// Scores are ordered as csrc/generation/scores.h orders them: NaN is larger than everything. Of
// equal scores the one with the lower index comes first.
#pragma once

#include "cuda/kernels/device.cuh"

namespace internvl::cuda {

constexpr unsigned kSamplingThreads = 1024;

/// An order-preserving map of scores to unsigned numbers: -0 becomes 0, NaN the largest.
__device__ __forceinline__ std::uint32_t rank_of(float score) {
  if (score != score) return ~0u;
  const std::uint32_t bits = score == 0.0f ? 0u : __float_as_uint(score);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

struct Ranked {
  std::uint32_t rank;
  std::int32_t index;  // negative: none
};

__device__ __forceinline__ bool comes_before(const Ranked& a, const Ranked& b) {
  if (a.index < 0 || b.index < 0) return a.index >= 0;
  return a.rank != b.rank ? a.rank > b.rank : a.index < b.index;
}

/// The first of what the threads of the block have; all get it. `scratch` has a Ranked per warp.
__device__ __forceinline__ Ranked first_of_block(Ranked best, Ranked* scratch) {
  const auto first_of_warp = [](Ranked mine) {
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const Ranked other{__shfl_xor_sync(kAllLanes, mine.rank, step),
                         __shfl_xor_sync(kAllLanes, mine.index, step)};
      if (comes_before(other, mine)) mine = other;
    }
    return mine;
  };
  best = first_of_warp(best);
  __syncthreads();  // the scratch of an earlier call has been read
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = best;
  __syncthreads();
  const unsigned lane = threadIdx.x % kWarp;
  return first_of_warp(lane < blockDim.x / kWarp ? scratch[lane] : Ranked{0, -1});
}

__global__ void __launch_bounds__(kSamplingThreads)
    argmax_kernel(std::int32_t* tokens, const float* scores, std::int64_t stride, int vocab_size) {
  INTERNVL_SHARED(Ranked, scratch, kWarp);
  const float* row = scores + blockIdx.x * stride;
  Ranked best{0, -1};
  for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSamplingThreads) {
    const Ranked candidate{rank_of(row[i]), i};
    if (comes_before(candidate, best)) best = candidate;
  }
  best = first_of_block(best, scratch);
  if (threadIdx.x == 0) tokens[blockIdx.x] = best.index;
}

/// Each token of a row's sequence is penalised once, by the thread of its first occurrence.
__global__ void __launch_bounds__(kSamplingThreads)
    repetition_penalty_kernel(float* scores, std::int64_t stride, const std::int32_t* sequences,
                              std::int64_t sequence_stride, const std::int32_t* lengths,
                              float penalty) {
  const std::int32_t* sequence = sequences + blockIdx.x * sequence_stride;
  const int length = lengths[blockIdx.x];
  for (int i = static_cast<int>(threadIdx.x); i < length; i += kSamplingThreads) {
    int first = 0;
    while (sequence[first] != sequence[i]) ++first;
    if (first != i) continue;
    float& score = scores[blockIdx.x * stride + sequence[i]];
    score = score < 0.0f ? score * penalty : score / penalty;
  }
}

constexpr int kDigits = 256;

/// The rank of the k-th largest score of a row, digit after digit of 8 bits.
__device__ __forceinline__ std::uint32_t rank_of_kth(const float* row, int vocab_size, int k,
                                                     float temperature) {
  INTERNVL_SHARED(int, counts, kDigits);
  INTERNVL_SHARED(int, chosen, 2);
  std::uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = static_cast<int>(threadIdx.x); i < kDigits; i += kSamplingThreads) counts[i] = 0;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSamplingThreads) {
      const std::uint32_t rank = rank_of(row[i] / temperature);
      const bool matches = shift == 24 || rank >> (shift + 8) == prefix;
      if (matches) atomicAdd(counts + (rank >> shift) % kDigits, 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = kDigits - 1;
      for (; counts[digit] < k; --digit) k -= counts[digit];
      chosen[0] = digit;
      chosen[1] = k;
    }
    __syncthreads();
    prefix = prefix << 8 | static_cast<std::uint32_t>(chosen[0]);
    k = chosen[1];
  }
  return prefix;
}

/// scores /= temperature; those below the k-th largest become minus infinity. k 0: none does.
__global__ void __launch_bounds__(kSamplingThreads)
    temperature_top_k_kernel(float* scores, std::int64_t stride, int vocab_size, float temperature,
                             int k) {
  float* row = scores + blockIdx.x * stride;
  const std::uint32_t threshold = k == 0 ? 0 : rank_of_kth(row, vocab_size, k, temperature);
  __syncthreads();  // the scores have been read
  for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSamplingThreads) {
    const float score = row[i] / temperature;
    row[i] = rank_of(score) < threshold ? -INFINITY : score;
  }
}

/// The `count` best of beam_scores[b] + scores(b, token) over the `beams` rows of a prompt, best
/// first, as indices b * vocab_size + token.
__global__ void __launch_bounds__(kSamplingThreads)
    beam_candidates_kernel(std::int32_t* indices, float* values, const float* scores,
                           std::int64_t stride, const float* beam_scores, int beams, int vocab_size,
                           int count) {
  INTERNVL_SHARED(Ranked, scratch, kWarp);
  const float* rows = scores + std::int64_t{blockIdx.x} * beams * stride;
  const float* sums = beam_scores + blockIdx.x * beams;
  Ranked last{0, -1};
  for (int n = 0; n < count; ++n) {
    Ranked best{0, -1};
    for (int beam = 0; beam < beams; ++beam) {
      for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSamplingThreads) {
        const Ranked candidate{rank_of(rows[beam * stride + i] + sums[beam]),
                               beam * vocab_size + i};
        const bool left = last.index < 0 || comes_before(last, candidate);
        if (left && comes_before(candidate, best)) best = candidate;
      }
    }
    best = first_of_block(best, scratch);
    if (threadIdx.x == 0) {
      const int beam = best.index / vocab_size;
      indices[blockIdx.x * count + n] = best.index;
      values[blockIdx.x * count + n] = rows[beam * stride + best.index % vocab_size] + sums[beam];
    }
    last = best;
  }
}

}  // namespace internvl::cuda
