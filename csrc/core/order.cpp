#include "core/order.h"

#include <cmath>

namespace internvl {

bool larger(float a, float b) { return (std::isnan(a) && !std::isnan(b)) || a > b; }

std::int64_t argmax(const float* row, std::int64_t count) {
  std::int64_t best = 0;
  for (std::int64_t i = 1; i < count; ++i) {
    if (larger(row[i], row[best])) best = i;
  }
  return best;
}

}  // namespace internvl
