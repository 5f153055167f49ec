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
BicubicFilter::BicubicFilter(int inputs, int outputs)
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
  row_taps_.reserve(std::size_t(outputs) * groups_);
  column_taps_.reserve(std::size_t(outputs) * groups_ * kTapGroup / 2);
  std::vector<double> exact(most);
  for (int i = 0; i < outputs; ++i) {
    double sum = 0.0;
    for (int k = 0; k < count_[i]; ++k) {
      exact[k] = bicubic((k + first_[i] - center_of(i) + 0.5) * (1.0 / stretch));
      sum += exact[k];
    }
    for (int first = 0; first < groups_ * kTapGroup; first += kTapGroup) {
      std::int32_t weights[kTapGroup] = {};
      for (int k = first; k < std::min(first + kTapGroup, count_[i]); ++k) {
        const double scaled = exact[k] / sum * (1 << cpu::kWeightBits);
        weights[k - first] = static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
      }
      row_taps_.push_back(kernels_.cut(weights));
      for (int k = 0; k < kTapGroup; k += 2) {
        cpu::ColumnTaps& pair = column_taps_.emplace_back();
        for (int half = 0; half < 2; ++half) {
          const std::int32_t weight = weights[k + half];
          pair.high[half] = static_cast<std::int16_t>(weight >> cpu::kLowBits);
          pair.low[half] = static_cast<std::int16_t>(weight & ((1 << cpu::kLowBits) - 1));
        }
      }
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
