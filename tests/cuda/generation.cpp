// What csrc/generation chooses from scores on the host, for ctypes: the sampling kernels are held
// against it.
#include <algorithm>

#include "generation/logits_processors.h"
#include "generation/sampler.h"
#include "library.h"

using internvl::GenerationConfig;
using internvl::Scores;
using internvl::cuda::test::guarded;

namespace {

Scores scores_of(const float* values, std::int64_t rows, std::int64_t vocab_size) {
  Scores scores(rows, vocab_size);
  std::copy_n(values, rows * vocab_size, scores.values.begin());
  return scores;
}

}  // namespace

extern "C" {

/// The step of a search: processors and warpers change `scores`, then each row's token is drawn
/// with the uniform number that is left in `uniforms`. Row r has the tokens sequences[r * stride
/// ...], lengths[r] of them.
const char* generation_sample(std::int32_t* tokens, double* uniforms, float* scores,
                              std::int64_t rows, std::int64_t vocab_size,
                              const std::int32_t* sequences, std::int64_t stride,
                              const std::int32_t* lengths, float penalty, std::int64_t ngram,
                              float temperature, std::int64_t top_k, float top_p,
                              std::int64_t min_tokens, std::int64_t seed) {
  return guarded([&] {
    GenerationConfig config;
    config.repetition_penalty = penalty;
    config.no_repeat_ngram_size = ngram;
    config.temperature = temperature;
    config.top_k = top_k;
    config.top_p = top_p;
    config.min_tokens_to_keep = min_tokens;
    internvl::Sequences histories;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int32_t* first = sequences + r * stride;
      histories.emplace_back(first, first + lengths[r]);
    }
    Scores processed = scores_of(scores, rows, vocab_size);
    const internvl::Step step{histories, processed, {}};
    run_processors(make_logits_processors(config, {}), step);
    std::copy(processed.values.begin(), processed.values.end(), scores);
    run_processors(make_logits_warpers(config), step);
    const internvl::Sampler sampler(static_cast<std::uint64_t>(seed));
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto row = static_cast<std::uint32_t>(r);
      uniforms[r] = sampler.uniform(row, 0, 0);
      tokens[r] = static_cast<std::int32_t>(
          sampler.sample(internvl::softmax(processed.row(r), vocab_size), row, 0));
    }
  });
}

/// Log-softmax of the rows in place; normalizers[r] is log(sum(exp)) of row r.
const char* generation_log_softmax(float* scores, double* normalizers, std::int64_t rows,
                                   std::int64_t vocab_size) {
  return guarded([&] {
    for (std::int64_t r = 0; r < rows; ++r) {
      normalizers[r] = internvl::log_sum_exp(scores + r * vocab_size, vocab_size);
      internvl::log_softmax(scores + r * vocab_size, vocab_size);
    }
  });
}

const char* generation_top_k(std::int32_t* indices, float* values, const float* totals,
                             std::int64_t total_count, std::int64_t count) {
  return guarded([&] {
    for (const internvl::Candidate& candidate : internvl::top_k(totals, total_count, count)) {
      *indices++ = static_cast<std::int32_t>(candidate.index);
      *values++ = candidate.score;
    }
  });
}
}
