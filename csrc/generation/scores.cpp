#include "generation/scores.h"

#include <algorithm>
#include <cmath>

namespace internvl {
namespace {

bool better(const Candidate& a, const Candidate& b) { return larger(a.score, b.score); }

}  // namespace

Scores gather_rows(const Scores& scores, const std::vector<std::int32_t>& parents) {
  Scores result(static_cast<std::int64_t>(parents.size()), scores.vocab_size);
  for (std::int64_t r = 0; r < result.rows; ++r) {
    std::copy_n(scores.row(parents[r]), scores.vocab_size, result.row(r));
  }
  return result;
}

double log_sum_exp(const float* row, std::int64_t count) {
  const float maximum = *std::max_element(row, row + count);
  double sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(row[i] - maximum);
  return maximum + std::log(sum);
}

void log_softmax(float* row, std::int64_t count) {
  const float maximum = *std::max_element(row, row + count);
  double sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(row[i] - maximum);
  const float log_sum = static_cast<float>(std::log(sum));
  for (std::int64_t i = 0; i < count; ++i) row[i] = (row[i] - maximum) - log_sum;
}

std::vector<float> softmax(const float* row, std::int64_t count) {
  const float maximum = *std::max_element(row, row + count);
  std::vector<float> result(count);
  double sum = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    result[i] = std::exp(row[i] - maximum);
    sum += result[i];
  }
  const float total = static_cast<float>(sum);
  for (float& value : result) value /= total;
  return result;
}

std::vector<Candidate> top_k(const float* row, std::int64_t count, std::int64_t k) {
  std::vector<Candidate> queue(count);
  for (std::int64_t i = 0; i < count; ++i) queue[i] = {row[i], i};
  // The algorithms and the threshold of torch's topk: they decide the order among equals.
  if (k * 64 <= count) {
    std::partial_sort(queue.begin(), queue.begin() + k, queue.end(), better);
  } else {
    std::nth_element(queue.begin(), queue.begin() + k - 1, queue.end(), better);
    std::sort(queue.begin(), queue.begin() + k - 1, better);
  }
  queue.resize(k);
  return queue;
}

float kth_largest(const float* row, std::int64_t count, std::int64_t k) {
  std::vector<float> values(row, row + count);
  std::nth_element(values.begin(), values.begin() + k - 1, values.end(), larger);
  return values[k - 1];
}

}  // namespace internvl
