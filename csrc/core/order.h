// Which score is larger.
#pragma once

#include <cstdint>

namespace internvl {

/// Order of scores: a NaN is larger than everything, as in torch.
bool larger(float a, float b);

/// The first of the largest.
std::int64_t argmax(const float* row, std::int64_t count);

}  // namespace internvl
