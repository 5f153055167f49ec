#include <algorithm>

#include "core/error.h"
#include "cuda/kernels/kernels.h"
#include "cuda/kernels/sampling.cuh"

namespace internvl::cuda {
namespace {

constexpr unsigned kSuppressThreads = 128;

/// Returns the scores.
float* scores_of(const char* what, const Tensor& scores) {
  check(scores.dtype == DType::kFloat32 && scores.cols >= 1 && scores.cols < kMostScores, what,
        ": scores: expected float32 of 1 to ", kMostScores - 1, " columns, got ", scores.cols,
        " of ", name_of(scores.dtype));
  return static_cast<float*>(scores.data);
}

void check_beams(const char* what, const Tensor& scores, std::int64_t beams) {
  check(beams >= 1 && scores.rows % beams == 0 && beams * scores.cols <= INT32_MAX, what,
        ": scores: expected a multiple of ", beams, " rows, got ", scores.rows);
}

Grid rows_of(const Tensor& scores) { return {static_cast<unsigned>(scores.rows)}; }

int vocab_size_of(const Tensor& scores) { return static_cast<int>(scores.cols); }

}  // namespace

void argmax(Stream stream, std::int32_t* tokens, Tensor scores) {
  const float* data = scores_of("argmax", scores);
  if (scores.rows == 0) return;
  launch(argmax_kernel, rows_of(scores), kSelectThreads, 0, stream, tokens, data, scores.stride,
         vocab_size_of(scores));
}

void repetition_penalty(Stream stream, Tensor scores, const TokenRows& sequences, float penalty) {
  float* data = scores_of("repetition_penalty", scores);
  if (scores.rows == 0) return;
  launch(repetition_penalty_kernel, rows_of(scores), kSelectThreads, 0, stream, data, scores.stride,
         vocab_size_of(scores), sequences, penalty);
}

void no_repeat_ngram(Stream stream, Tensor scores, const TokenRows& sequences, std::int64_t size) {
  float* data = scores_of("no_repeat_ngram", scores);
  check(size >= 1 && size <= INT32_MAX, "no_repeat_ngram: size: expected at least 1, got ", size);
  if (scores.rows == 0) return;
  launch(no_repeat_ngram_kernel, rows_of(scores), kSelectThreads, 0, stream, data, scores.stride,
         vocab_size_of(scores), sequences, static_cast<int>(size));
}

void suppress(Stream stream, Tensor scores, const std::int32_t* tokens, std::int64_t count) {
  float* data = scores_of("suppress", scores);
  check(count >= 0 && count <= scores.cols, "suppress: count: expected 0 to ", scores.cols,
        ", got ", count);
  if (scores.rows == 0 || count == 0) return;
  launch(suppress_kernel, rows_of(scores), kSuppressThreads, 0, stream, data, scores.stride, tokens,
         static_cast<int>(count));
}

void log_softmax(Stream stream, Tensor scores) {
  float* data = scores_of("log_softmax", scores);
  if (scores.rows == 0) return;
  launch(log_softmax_kernel, rows_of(scores), kSelectThreads, 0, stream, data, scores.stride,
         vocab_size_of(scores));
}

void log_probability(Stream stream, float* out, const ChosenTokens& chosen, Tensor scores) {
  const float* data = scores_of("log_probability", scores);
  check_beams("log_probability", scores, chosen.beams);
  check(chosen.count >= 0 && chosen.count <= INT32_MAX,
        "log_probability: count: expected at least 0, got ", chosen.count);
  const std::int64_t blocks = scores.rows / chosen.beams * chosen.count;
  if (blocks == 0) return;
  launch(log_probability_kernel, {static_cast<unsigned>(blocks)}, kSelectThreads, 0, stream, out,
         chosen.tokens, static_cast<int>(chosen.beams), static_cast<int>(chosen.count), data,
         scores.stride, vocab_size_of(scores));
}

void sample(Stream stream, std::int32_t* tokens, const double* uniforms, Tensor scores,
            const Sampling& sampling) {
  const float* data = scores_of("sample", scores);
  check(sampling.temperature > 0.0f, "sample: temperature: expected a positive number, got ",
        sampling.temperature);
  check(sampling.top_k >= 0 && sampling.min_tokens >= 1,
        "sample: expected top_k of at least 0 and min_tokens of at least 1, got ", sampling.top_k,
        " and ", sampling.min_tokens);
  if (scores.rows == 0) return;
  const std::int64_t top_k = std::max(sampling.top_k, sampling.min_tokens);
  const SamplingArguments args{
      sampling.temperature,
      sampling.top_k == 0 || top_k >= scores.cols ? 0 : static_cast<int>(top_k),
      static_cast<float>(1.0 - sampling.top_p),
      static_cast<int>(std::min(sampling.min_tokens, scores.cols))};
  launch(sample_kernel, rows_of(scores), kSelectThreads, 0, stream, tokens, uniforms, data,
         scores.stride, vocab_size_of(scores), args);
}

void beam_candidates(Stream stream, std::int32_t* indices, float* values, Tensor scores,
                     const float* beam_scores, std::int64_t beams, std::int64_t count,
                     void* workspace) {
  const float* data = scores_of("beam_candidates", scores);
  check_beams("beam_candidates", scores, beams);
  const std::int64_t most = std::min<std::int64_t>(kMostCandidates, beams * scores.cols);
  check(count >= 1 && count <= most, "beam_candidates: count: expected 1 to ", most, ", got ",
        count);
  if (scores.rows == 0) return;
  auto* best = static_cast<Key*>(workspace);
  launch(beam_best_kernel, rows_of(scores), kSelectThreads, 0, stream, best, data, scores.stride,
         beam_scores, static_cast<int>(beams), vocab_size_of(scores), static_cast<int>(count));
  launch(beam_candidates_kernel, {static_cast<unsigned>(scores.rows / beams)}, kSelectThreads, 0,
         stream, indices, values, static_cast<const Key*>(best), data, scores.stride, beam_scores,
         static_cast<int>(beams), vocab_size_of(scores), static_cast<int>(count));
}

std::size_t beam_workspace_bytes(std::int64_t rows, std::int64_t count) {
  return static_cast<std::size_t>(rows * count) * sizeof(Key);
}

}  // namespace internvl::cuda
