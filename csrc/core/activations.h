// Activations that the caller asked for by name, copied as the model computes them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace internvl {

/// Filled by one call after another; other threads may read meanwhile.
class Activations {
 public:
  /// Rows that were computed together, row-major.
  using Chunk = std::shared_ptr<const std::vector<float>>;

  /// One activation of one sequence: its rows in the order of its tokens.
  struct Rows {
    std::int64_t cols = 0;
    std::vector<Chunk> chunks;
  };

  explicit Activations(std::set<std::string> names) : names_(std::move(names)) {}

  /// What follows belongs to `count` new sequences: the tiles or the prompts of a call.
  void begin(std::int64_t count);

  /// Whether append() would copy an activation of this name.
  bool wants(const std::string& name) const { return names_.count(name) != 0; }

  /// Copies the rows of an activation that was asked for, which lies in the host's memory: row r
  /// belongs to sequence sequences[r] of this call, or, where that is negative, to none.
  void append(const std::string& name, Tensor value, const std::vector<std::int64_t>& sequences);

  /// Sequence i of this call continues what was sequence parents[i].
  void reorder(const std::vector<std::int32_t>& parents);

  /// What was asked for and computed, in the order of the alphabet.
  std::vector<std::string> recorded() const;

  /// One activation of all sequences that have it, in the order of the calls.
  std::vector<Rows> sequences(const std::string& name) const;

 private:
  using Sequence = std::map<std::string, Rows>;

  const std::set<std::string> names_;
  mutable std::mutex mutex_;
  std::vector<std::vector<Sequence>> calls_;
};

using Recorders = std::vector<std::shared_ptr<Activations>>;

/// Throws InvalidArgument unless there is an object behind every pointer.
void check_recorders(const Recorders& recorders);

}  // namespace internvl
