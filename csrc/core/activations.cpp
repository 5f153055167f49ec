#include "core/activations.h"

#include "core/dtype.h"
#include "core/error.h"

namespace internvl {
namespace {

Activations::Chunk copy_rows(Tensor value) {
  std::vector<float> rows(value.rows * value.cols);
  for (std::int64_t r = 0; r < value.rows; ++r)
    for (std::int64_t c = 0; c < value.cols; ++c)
      rows[r * value.cols + c] = load_as_float(value.data, value.dtype, r * value.stride + c);
  return std::make_shared<const std::vector<float>>(std::move(rows));
}

}  // namespace

void Activations::begin(std::int64_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  calls_.emplace_back(count);
}

void Activations::append(const std::string& name, Tensor value,
                         const std::vector<std::int64_t>& sequences) {
  if (!wants(name)) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::int64_t first = 0; first < value.rows;) {
    std::int64_t end = first + 1;
    while (end < value.rows && sequences[end] == sequences[first]) ++end;
    if (sequences[first] >= 0) {
      Rows& rows = calls_.back()[sequences[first]][name];
      rows.cols = value.cols;
      rows.chunks.push_back(copy_rows(value.slice_rows(first, end - first)));
    }
    first = end;
  }
}

void Activations::reorder(const std::vector<std::int32_t>& parents) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Sequence> sequences;
  sequences.reserve(parents.size());
  for (const std::int32_t parent : parents) sequences.push_back(calls_.back()[parent]);
  calls_.back() = std::move(sequences);
}

std::vector<std::string> Activations::recorded() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::set<std::string> names;
  for (const auto& call : calls_)
    for (const Sequence& sequence : call)
      for (const auto& [name, rows] : sequence) names.insert(name);
  return {names.begin(), names.end()};
}

std::vector<Activations::Rows> Activations::sequences(const std::string& name) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Rows> result;
  for (const auto& call : calls_)
    for (const Sequence& sequence : call) {
      const auto found = sequence.find(name);
      if (found != sequence.end()) result.push_back(found->second);
    }
  return result;
}

void check_recorders(const Recorders& recorders) {
  for (const auto& recorder : recorders) check(recorder != nullptr, "recorders: got None");
}

}  // namespace internvl
