#include "generation/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace internvl {
namespace {

using Block = std::array<std::uint32_t, 4>;

Block philox(Block counter, std::uint64_t seed) {
  auto key0 = static_cast<std::uint32_t>(seed);
  auto key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = 0xD2511F53ull * counter[0];
    const std::uint64_t product1 = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

double total_of(const std::vector<float>& probabilities) {
  double total = 0.0;
  for (float p : probabilities) total += p;
  if (!std::isfinite(total)) throw_not_finite();
  return total;
}

/// The first index whose cumulative probability exceeds u * total; never an impossible one.
std::int64_t invert(const std::vector<float>& probabilities, double total, double u) {
  const double target = u * total;
  double sum = 0.0;
  std::int64_t last = -1;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (!(probabilities[i] > 0.0f)) continue;
    sum += probabilities[i];
    last = static_cast<std::int64_t>(i);
    if (sum > target) break;
  }
  return last;
}

}  // namespace

void throw_not_finite() {
  throw std::runtime_error(
      "The probabilities of the next token are not finite: the logits or a "
      "logits processor produced NaN or infinity.");
}

double Sampler::uniform(std::uint32_t sequence, std::uint32_t step, std::uint32_t draw) const {
  const Block block = philox({step, sequence, draw, 0}, seed_);
  const std::uint64_t bits = (static_cast<std::uint64_t>(block[0]) << 32 | block[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

std::int64_t Sampler::sample(const std::vector<float>& probabilities, std::uint32_t sequence,
                             std::uint32_t step) const {
  return invert(probabilities, total_of(probabilities), uniform(sequence, step, 0));
}

std::vector<std::int64_t> Sampler::sample_without_replacement(std::vector<float> probabilities,
                                                              std::int64_t count,
                                                              std::uint32_t sequence,
                                                              std::uint32_t step) const {
  std::vector<std::int64_t> chosen;
  while (static_cast<std::int64_t>(chosen.size()) < count) {
    const auto draw = static_cast<std::uint32_t>(chosen.size());
    const std::int64_t index =
        invert(probabilities, total_of(probabilities), uniform(sequence, step, draw));
    if (index < 0) break;
    probabilities[index] = 0.0f;
    chosen.push_back(index);
  }
  const std::size_t possible = chosen.size();
  for (std::int64_t i = 0; static_cast<std::int64_t>(chosen.size()) < count; ++i) {
    const auto end = chosen.begin() + static_cast<std::ptrdiff_t>(possible);
    if (std::find(chosen.begin(), end, i) == end) chosen.push_back(i);
  }
  return chosen;
}

}  // namespace internvl
