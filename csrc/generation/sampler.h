// Random choice of tokens. The draws are a function of (seed, sequence, step, draw), so a
// sequence's tokens do not depend on what else is in its batch or on the number of threads.
#pragma once

#include <cstdint>
#include <vector>

namespace internvl {

/// std::runtime_error about probabilities that cannot be drawn from.
[[noreturn]] void throw_not_finite();

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
class Sampler {
 public:
  explicit Sampler(std::uint64_t seed) : seed_(seed) {}

  /// In [0, 1), 53 random bits.
  double uniform(std::uint32_t sequence, std::uint32_t step, std::uint32_t draw) const;

  /// An index drawn with the given probabilities, by inverting their cumulative sum in float64.
  std::int64_t sample(const std::vector<float>& probabilities, std::uint32_t sequence,
                      std::uint32_t step) const;

  /// `count` different indices drawn one after another. Once nothing possible is left, impossible
  /// ones follow in ascending order.
  std::vector<std::int64_t> sample_without_replacement(std::vector<float> probabilities,
                                                       std::int64_t count, std::uint32_t sequence,
                                                       std::uint32_t step) const;

 private:
  std::uint64_t seed_;
};

}  // namespace internvl
