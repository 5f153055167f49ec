#include "image/bicubic.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/isa.h"

namespace internvl {
namespace {

using cpu::kTapGroup;

constexpr double kSupport = 2.0;

// Keys' cubic with a = -0.5.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

}  // namespace

// Every operation rounds as in Pillow: the build allows no fused multiply-add (CMakeLists.txt).
BicubicFilter::BicubicFilter(Axis axis, int inputs, int outputs)
    : kernels_(cpu::select_kernels({}).resample), first_(outputs), count_(outputs) {
  const double scale = static_cast<double>(inputs) / outputs;
  const double stretch = std::max(scale, 1.0);  // antialiasing: widen the kernel when reducing
  const double support = kSupport * stretch;
  const auto center_of = [&](int i) { return (i + 0.5) * scale; };
  for (int i = 0; i < outputs; ++i) {
    first_[i] = std::max(0, static_cast<int>(center_of(i) - support + 0.5));
    count_[i] = std::min(inputs, static_cast<int>(center_of(i) + support + 0.5)) - first_[i];
  }
  const int most = *std::max_element(count_.begin(), count_.end());
  groups_ = (most + kTapGroup - 1) / kTapGroup;
  const std::size_t taps = std::size_t(groups_) * kTapGroup;
  std::vector<std::int32_t> weights(outputs * taps);
  std::vector<double> exact(most);
  for (int i = 0; i < outputs; ++i) {
    double sum = 0.0;
    for (int k = 0; k < count_[i]; ++k) {
      exact[k] = bicubic((k + first_[i] - center_of(i) + 0.5) * (1.0 / stretch));
      sum += exact[k];
    }
    for (int k = 0; k < count_[i]; ++k) {
      const double scaled = exact[k] / sum * (1 << cpu::kWeightBits);
      weights[i * taps + k] = static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
  }
  if (axis == Axis::kWidth) {
    row_taps_.resize(weights.size() / kTapGroup);
    kernels_.cut(weights.data(), row_taps_.data(), row_taps_.size());
  } else {
    column_taps_.resize(weights.size() / 2);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      cpu::ColumnTaps& pair = column_taps_[i / 2];
      pair.high[i % 2] = static_cast<std::int16_t>(weights[i] >> cpu::kLowBits);
      pair.low[i % 2] = static_cast<std::int16_t>(weights[i] & ((1 << cpu::kLowBits) - 1));
    }
  }
}

std::int64_t BicubicFilter::read_slack() const {
  return std::int64_t{groups_} * kTapGroup * 3 + cpu::kFilterSlack;
}

void BicubicFilter::filter_rows(const std::uint8_t* const* source,
                                std::uint8_t* const* target) const {
  kernels_.rows(source, target, {first_.data(), row_taps_.data(), groups_, outputs()});
}

void BicubicFilter::filter_columns(int i, const std::uint8_t* rows, std::int64_t stride,
                                   std::int64_t bytes, std::uint8_t* target) const {
  const std::int64_t pairs = std::int64_t{groups_} * kTapGroup / 2;
  kernels_.columns(rows, stride, column_taps_.data() + i * pairs, count_[i], bytes, target);
}

}  // namespace internvl
