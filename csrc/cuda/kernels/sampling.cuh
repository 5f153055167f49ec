// From scores to tokens: the processors, the softmax, the argmax and draws, and the best candidates
// of beams. A block has one row. The rules are those of csrc/generation.
#pragma once

#include "cuda/kernels/kernels.h"
#include "cuda/kernels/select.cuh"

namespace internvl::cuda {

__global__ void __launch_bounds__(kSelectThreads)
    argmax_kernel(std::int32_t* tokens, const float* scores, std::int64_t stride, int vocab_size) {
  Key best = 0;  // below every key
  for_each_score(scores + blockIdx.x * stride, vocab_size,
                 [&](int i, float score) { best = Larger()(best, falling_key(score, i)); });
  best = reduce_block(best, Larger());
  if (threadIdx.x == 0) tokens[blockIdx.x] = index_of_falling(best);
}

// ---- processors

/// The tokens of a row that have been met.
struct Met {
  unsigned* words;

  __device__ void clear(int vocab_size) const {
    for (int i = static_cast<int>(threadIdx.x); i < (vocab_size + 31) / 32; i += kSelectThreads) {
      words[i] = 0;
    }
    __syncthreads();
  }

  /// Whether the token is met for the first time.
  __device__ bool first(int token) const {
    const unsigned bit = 1u << token % 32;
    return (atomicOr(words + token / 32, bit) & bit) == 0;
  }
};

__global__ void __launch_bounds__(kSelectThreads)
    repetition_penalty_kernel(float* scores, std::int64_t stride, int vocab_size,
                              TokenRows sequences, float penalty) {
  INTERNVL_SHARED(unsigned, words, kMostScores / 32);
  const Met met{words};
  met.clear(vocab_size);
  const std::int32_t* sequence = sequences.tokens + blockIdx.x * sequences.stride;
  const int length = sequences.lengths[blockIdx.x];
  for (int i = static_cast<int>(threadIdx.x); i < length; i += kSelectThreads) {
    if (!met.first(sequence[i])) continue;
    float& score = scores[blockIdx.x * stride + sequence[i]];
    score = score < 0.0f ? score * penalty : score / penalty;
  }
}

/// Removes what would repeat `size` tokens in a row.
__global__ void __launch_bounds__(kSelectThreads)
    no_repeat_ngram_kernel(float* scores, std::int64_t stride, int vocab_size, TokenRows sequences,
                           int size) {
  INTERNVL_SHARED(unsigned, words, kMostScores / 32);
  const Met met{words};
  met.clear(vocab_size);
  const std::int32_t* sequence = sequences.tokens + blockIdx.x * sequences.stride;
  const int last = sequences.lengths[blockIdx.x] - (size - 1);  // where the unfinished one begins
  for (int i = static_cast<int>(threadIdx.x); i < last; i += kSelectThreads) {
    int same = 0;
    while (same < size - 1 && sequence[i + same] == sequence[last + same]) ++same;
    if (same < size - 1) continue;
    const int token = sequence[i + size - 1];
    if (met.first(token)) scores[blockIdx.x * stride + token] = -INFINITY;
  }
}

__global__ void suppress_kernel(float* scores, std::int64_t stride, const std::int32_t* tokens,
                                int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    scores[blockIdx.x * stride + tokens[i]] = -INFINITY;
  }
}

// ---- softmax

constexpr float kExponentialUnit = 0x1p-45f;  // kMostScores of 1 fit into a Mass
constexpr float kTallyUnit = 0x1p-44f;        // of a probability beside a count
constexpr float kProbabilityUnit = 0x1p-62f;  // of a probability that is drawn

__device__ __forceinline__ Mass mass_of(float value, float unit) {
  return static_cast<Mass>(rintf(value / unit));
}

__device__ __forceinline__ float value_of(Mass mass, float unit) {
  return static_cast<float>(mass) * unit;
}

/// Scores over a temperature. e^(score - highest) is an exponential.
struct Softmax {
  float temperature;
  float highest;
  bool finite;  // neither NaN nor infinity spoils it; otherwise nothing else may be asked

  /// Called by all threads.
  __device__ Softmax(const float* row, int vocab_size, float divisor) : temperature(divisor) {
    std::uint32_t rank = 0;
    for_each_score(row, vocab_size,
                   [&](int, float score) { rank = Larger()(rank, rank_of(score)); });
    highest = score_of(reduce_block(rank, Larger())) / temperature;
    finite = fabsf(highest) <= 3.40282347e38f;
  }

  __device__ float scaled(float score) const { return score / temperature; }
  __device__ float exponential(float score) const { return expf(scaled(score) - highest); }
};

/// The sum of the exponentials of the scores that `keeps(i, score)`, in units.
template <class Keeps>
__device__ __forceinline__ Mass sum_exponentials(const Softmax& softmax, const float* row,
                                                 int vocab_size, Keeps keeps) {
  Mass sum = 0;
  for_each_score(row, vocab_size, [&](int i, float score) {
    if (keeps(i, score)) sum += mass_of(softmax.exponential(score), kExponentialUnit);
  });
  return reduce_block(sum, Add());
}

struct KeepsAll {
  __device__ bool operator()(int, float) const { return true; }
};

/// log(sum(exp(score - highest))).
__device__ __forceinline__ double log_sum(const Softmax& softmax, const float* row,
                                          int vocab_size) {
  const Mass sum = sum_exponentials(softmax, row, vocab_size, KeepsAll());
  return log(static_cast<double>(sum) * kExponentialUnit);
}

__global__ void __launch_bounds__(kSelectThreads)
    log_softmax_kernel(float* scores, std::int64_t stride, int vocab_size) {
  float* row = scores + blockIdx.x * stride;
  const Softmax softmax(row, vocab_size, 1.0f);
  const float normalizer =
      softmax.finite ? static_cast<float>(log_sum(softmax, row, vocab_size)) : NAN;
  __syncthreads();  // the scores have been read
  for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += kSelectThreads) {
    row[i] = (row[i] - softmax.highest) - normalizer;
  }
}

__global__ void __launch_bounds__(kSelectThreads)
    log_probability_kernel(float* out, const std::int32_t* tokens, int beams, int count,
                           const float* scores, std::int64_t stride, int vocab_size) {
  const int chosen = tokens[blockIdx.x];
  const std::int64_t first_row = std::int64_t{blockIdx.x} / count * beams;
  const float* row = scores + (first_row + max(chosen, 0) / vocab_size) * stride;
  const Softmax softmax(row, vocab_size, 1.0f);
  const double normalizer =
      softmax.finite ? softmax.highest + log_sum(softmax, row, vocab_size) : double{NAN};
  if (threadIdx.x != 0) return;
  out[blockIdx.x] = chosen < 0 ? NAN : static_cast<float>(row[chosen % vocab_size] - normalizer);
}

// ---- draws

struct SamplingArguments {
  float temperature;
  int top_k;       // 0: all
  float rest;      // 1 - top_p; 0: all
  int min_tokens;  // that top_p leaves
};

/// tokens[r] is drawn with uniforms[r]; -1 where probabilities are not finite.
__global__ void __launch_bounds__(kSelectThreads)
    sample_kernel(std::int32_t* tokens, const double* uniforms, const float* scores,
                  std::int64_t stride, int vocab_size, SamplingArguments args) {
  const float* row = scores + blockIdx.x * stride;
  const Softmax softmax(row, vocab_size, args.temperature);
  if (!softmax.finite) {
    if (threadIdx.x == 0) tokens[blockIdx.x] = -1;
    return;
  }
  const auto key_of = [&](int i, float score) { return rising_key(softmax.scaled(score), i); };
  Key first = 0;  // of those that are kept
  if (args.top_k != 0) {
    const Key kth = first_kept(
        [&](auto take) {
          for_each_score(row, vocab_size, [&](int i, float score) { take(key_of(i, score), 0); });
        },
        [&](Tally gone) { return count_in(gone) <= vocab_size - args.top_k; });
    first = kth >> kIndexBits << kIndexBits;  // its equals are kept
  }
  const auto keeps = [&](int i, float score) { return key_of(i, score) >= first; };
  float total = value_of(sum_exponentials(softmax, row, vocab_size, keeps), kExponentialUnit);
  const auto probability = [&](float score, float unit) {
    return mass_of(softmax.exponential(score) / total, unit);
  };
  if (args.rest > 0.0f) {
    const auto possible = [&](int i, float score) { return keeps(i, score) && score != -INFINITY; };
    int removable = 0;
    for_each_score(row, vocab_size, [&](int i, float score) { removable += possible(i, score); });
    removable = max(0, reduce_block(removable, Add()) - args.min_tokens);
    const Key most_likely = first_kept(
        [&](auto take) {
          for_each_score(row, vocab_size, [&](int i, float score) {
            if (possible(i, score)) take(key_of(i, score), probability(score, kTallyUnit));
          });
        },
        [&](Tally gone) {
          return count_in(gone) <= removable && value_of(mass_in(gone), kTallyUnit) <= args.rest;
        });
    first = Larger()(first, most_likely);
    total = value_of(sum_exponentials(softmax, row, vocab_size, keeps), kExponentialUnit);
  }
  const int token = draw(vocab_size, uniforms[blockIdx.x], [&](int i) {
    return keeps(i, row[i]) ? probability(row[i], kProbabilityUnit) : Mass{0};
  });
  if (threadIdx.x == 0) tokens[blockIdx.x] = token;
}

// ---- beams

/// What order candidates of all beams of a prompt: index is beam * vocab_size + token. Never 0.
__device__ __forceinline__ Key candidate_key(float total, unsigned index) {
  return Key{rank_of(total)} << 32 | ~index;
}

/// The place of `key` among the keys, best first.
__device__ __forceinline__ int place_among(const Key* keys, int count, Key key) {
  int place = 0;
  for (int i = 0; i < count; ++i) place += keys[i] > key;
  return place;
}

/// The `count` best of scores + beam_scores[row] of each row into best(row, count), as
/// candidate_key(); 0 where a row has fewer.
__global__ void __launch_bounds__(kSelectThreads)
    beam_best_kernel(Key* best, const float* scores, std::int64_t stride, const float* beam_scores,
                     int beams, int vocab_size, int count) {
  INTERNVL_SHARED(Key, chosen, kSelectThreads);
  INTERNVL_SHARED(int, chosen_count, 1);
  const float* row = scores + blockIdx.x * stride;
  const float sum = beam_scores[blockIdx.x];
  Key first = 0;
  if (count < vocab_size) {
    first = first_kept(
        [&](auto take) {
          for_each_score(row, vocab_size,
                         [&](int i, float score) { take(falling_key(score + sum, i), 0); });
        },
        [&](Tally gone) { return count_in(gone) <= vocab_size - count; });
  }
  if (threadIdx.x == 0) *chosen_count = 0;
  __syncthreads();
  const auto offset = blockIdx.x % static_cast<unsigned>(beams) * static_cast<unsigned>(vocab_size);
  for_each_score(row, vocab_size, [&](int i, float score) {
    if (falling_key(score + sum, i) < first) return;
    chosen[atomicAdd(chosen_count, 1)] =
        candidate_key(score + sum, offset + static_cast<unsigned>(i));
  });
  __syncthreads();
  const int t = static_cast<int>(threadIdx.x), have = *chosen_count;
  Key* out = best + std::int64_t{blockIdx.x} * count;
  if (t < have) {
    out[place_among(chosen, have, chosen[t])] = chosen[t];
  } else if (t < count) {
    out[t] = 0;
  }
}

/// The best of all beams of a prompt, from the best of each of its rows. A block has a prompt.
__global__ void __launch_bounds__(kSelectThreads)
    beam_candidates_kernel(std::int32_t* indices, float* values, const Key* best,
                           const float* scores, std::int64_t stride, const float* beam_scores,
                           int beams, int vocab_size, int count) {
  const std::int64_t first_row = std::int64_t{blockIdx.x} * beams;
  const Key* keys = best + first_row * count;
  for (int i = static_cast<int>(threadIdx.x); i < beams * count; i += kSelectThreads) {
    const int place = place_among(keys, beams * count, keys[i]);
    if (place >= count) continue;
    const int index = static_cast<int>(~static_cast<std::uint32_t>(keys[i]));
    const std::int64_t row = first_row + index / vocab_size;
    const std::int64_t at = std::int64_t{blockIdx.x} * count + place;
    indices[at] = index;
    values[at] = scores[row * stride + index % vocab_size] + beam_scores[row];
  }
}

}  // namespace internvl::cuda
