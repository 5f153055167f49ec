#include "core/error.h"
#include "cuda/kernels/kernels.h"
#include "cuda/kernels/sampling.cuh"

namespace internvl::cuda {
namespace {

/// Returns the scores; their rows are the grid's.
float* scores_of(const char* what, const Tensor& scores) {
  check(scores.dtype == DType::kFloat32 && scores.cols >= 1, what,
        ": scores: expected float32 columns, got ", scores.cols, " of ", name_of(scores.dtype));
  return static_cast<float*>(scores.data);
}

}  // namespace

void argmax(Stream stream, std::int32_t* tokens, Tensor scores) {
  const float* data = scores_of("argmax", scores);
  if (scores.rows == 0) return;
  launch(argmax_kernel, {static_cast<unsigned>(scores.rows)}, kSamplingThreads, 0, stream, tokens,
         data, scores.stride, static_cast<int>(scores.cols));
}

void repetition_penalty(Stream stream, Tensor scores, const std::int32_t* sequences,
                        std::int64_t sequence_stride, const std::int32_t* lengths, float penalty) {
  float* data = scores_of("repetition_penalty", scores);
  if (scores.rows == 0) return;
  launch(repetition_penalty_kernel, {static_cast<unsigned>(scores.rows)}, kSamplingThreads, 0,
         stream, data, scores.stride, sequences, sequence_stride, lengths, penalty);
}

void temperature_top_k(Stream stream, Tensor scores, float temperature, std::int64_t k) {
  float* data = scores_of("temperature_top_k", scores);
  check(k >= 0 && k <= scores.cols, "temperature_top_k: k: expected 0 to ", scores.cols, ", got ",
        k);
  if (scores.rows == 0) return;
  launch(temperature_top_k_kernel, {static_cast<unsigned>(scores.rows)}, kSamplingThreads, 0,
         stream, data, scores.stride, static_cast<int>(scores.cols), temperature,
         static_cast<int>(k));
}

void beam_candidates(Stream stream, std::int32_t* indices, float* values, Tensor scores,
                     const float* beam_scores, std::int64_t beams, std::int64_t count) {
  const float* data = scores_of("beam_candidates", scores);
  check(beams >= 1 && scores.rows % beams == 0, "beam_candidates: scores: expected a multiple of ",
        beams, " rows, got ", scores.rows);
  check(count >= 0 && count <= beams * scores.cols && beams * scores.cols <= INT32_MAX,
        "beam_candidates: count: expected 0 to ", beams * scores.cols, ", got ", count);
  if (scores.rows == 0) return;
  launch(beam_candidates_kernel, {static_cast<unsigned>(scores.rows / beams)}, kSamplingThreads, 0,
         stream, indices, values, data, scores.stride, beam_scores, static_cast<int>(beams),
         static_cast<int>(scores.cols), static_cast<int>(count));
}

}  // namespace internvl::cuda
