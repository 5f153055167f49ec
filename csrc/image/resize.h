// Pillow's Image.resize for 8-bit RGB, bit for bit.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "image/bicubic.h"
#include "image/rgb.h"

namespace internvl {

/// How many rows of an image are there, for threads that wait for rows which another one makes.
class RowProgress {
 public:
  /// The first `rows` rows are there.
  void reach(int rows);
  /// No more rows will come.
  void abandon() { reach(kAbandoned); }
  /// Waits for the first `rows` rows; false if they will not come.
  bool wait(int rows);

 private:
  static constexpr int kAbandoned = -1;
  std::atomic<int> rows_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
};

/// Makes the rows of an image from the top.
using RowProducer = std::function<void(RowProgress&)>;

/// An image to be resized, bicubic with antialiasing, one axis after the other and rounded to
/// 8 bits in between, as Pillow's default filter; an axis that keeps its length is left untouched.
class Resizing {
 public:
  /// Rows of the result go to the sink. Throws InvalidArgument for a length below 1.
  Resizing(const RgbView& image, int width, int height, RowSink sink);

  int height() const { return height_; }
  std::int64_t row_bytes() const { return std::int64_t{width_} * 3; }
  /// The first rows of the image that rows below `end` are made of.
  int rows_needed(int end) const;
  /// Makes rows [begin, end) of the result.
  void run(int begin, int end) const;

 private:
  void widths_first(int begin, int end) const;
  void heights_first(int begin, int end) const;

  RgbView image_;
  int width_;
  int height_;
  RowSink sink_;
  std::optional<BicubicFilter> widths_;
  std::optional<BicubicFilter> heights_;
  bool heights_first_;
};

/// Makes all rows of all results, in parallel, and meanwhile the image that they are made of.
/// Rethrows what `produce` throws.
void resize(const std::vector<Resizing>& all, const RowProducer& produce);

}  // namespace internvl
