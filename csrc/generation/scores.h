// Scores (logits or log-probabilities) of one step, and what the searches compute from a row.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/order.h"

namespace internvl {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// (rows, vocab_size), row-major.
struct Scores {
  std::int64_t rows = 0;
  std::int64_t vocab_size = 0;
  std::vector<float> values;

  Scores() = default;
  Scores(std::int64_t row_count, std::int64_t columns)
      : rows(row_count), vocab_size(columns), values(row_count * columns) {}

  float* row(std::int64_t r) { return values.data() + r * vocab_size; }
  const float* row(std::int64_t r) const { return values.data() + r * vocab_size; }
};

/// Log-probabilities of a sequence's tokens in the model's own distribution: that of the logits
/// before any processor.
using Logprobs = std::vector<float>;

/// Row r is row parents[r] of the input.
Scores gather_rows(const Scores& scores, const std::vector<std::int32_t>& parents);

struct Candidate {
  float score;
  std::int64_t index;
};

/// log(sum(exp(x))), summed in float64.
double log_sum_exp(const float* row, std::int64_t count);

/// In place, float32 as torch computes it: (x - max) - log(sum).
void log_softmax(float* row, std::int64_t count);

std::vector<float> softmax(const float* row, std::int64_t count);

/// The k largest, best first. Equal scores come in the order in which torch.topk gives them on a
/// CPU: it matters where whole rows are equal (masked scores, beams that have not started).
std::vector<Candidate> top_k(const float* row, std::int64_t count, std::int64_t k);

/// The k-th largest value, k at most count.
float kth_largest(const float* row, std::int64_t count, std::int64_t k);

}  // namespace internvl
