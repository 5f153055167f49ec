// One axis of Pillow's bicubic resampling.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/cpu/kernels.h"

namespace internvl {

/// Each output is a weighted sum of neighbouring inputs, widened against aliasing where outputs are
/// fewer, in 22-bit fixed point, rounded and clamped to 8 bits: bit for bit as in Pillow.
class BicubicFilter {
 public:
  enum class Axis : std::uint8_t { kWidth, kHeight };

  /// `outputs` from `inputs`, both positive.
  BicubicFilter(Axis axis, int inputs, int outputs);

  int outputs() const { return static_cast<int>(first_.size()); }
  /// Output i is made of inputs [first(i), end(i)).
  int first(int i) const { return first_[i]; }
  int end(int i) const { return first_[i] + count_[i]; }

  /// Bytes behind a row of inputs that filter_rows() may read.
  std::int64_t read_slack() const;

  /// Along rows, for Axis::kWidth: cpu::kFilterRows rows of pixels, some of which may be the same.
  void filter_rows(const std::uint8_t* const* source, std::uint8_t* const* target) const;

  /// Across rows, for Axis::kHeight: output row i, of `bytes` bytes, from rows [first(i), end(i)),
  /// which begin at `rows` and are `stride` bytes apart.
  void filter_columns(int i, const std::uint8_t* rows, std::int64_t stride, std::int64_t bytes,
                      std::uint8_t* target) const;

 private:
  const cpu::ResampleKernels& kernels_;
  std::vector<int> first_;
  std::vector<int> count_;
  int groups_;                                // of taps that the longest sum has
  std::vector<cpu::TapGroup> row_taps_;       // (outputs, groups)
  std::vector<cpu::ColumnTaps> column_taps_;  // (outputs, groups * kTapGroup / 2)
};

}  // namespace internvl
