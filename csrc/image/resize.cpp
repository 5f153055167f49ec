#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"

// The arithmetic is on integers, so all clones of a function give the same bytes. glibc chooses the
// clone when the module is loaded.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define INTERNVL_CLONE_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define INTERNVL_CLONE_AVX2
#endif

namespace internvl {
namespace {

// 8 bits of result and 2 of headroom for overshoot leave this many of 32 to the weights.
constexpr int kFractionBits = 32 - 8 - 2;
constexpr std::int32_t kHalf = 1 << (kFractionBits - 1);
constexpr double kSupport = 2.0;
constexpr int kRowsPerTask = 16;

/// The weights of one axis: output i is the sum of weights[i * stride + k] * input[first[i] + k]
/// over k < count[i].
struct Filter {
  std::vector<int> first;
  std::vector<int> count;
  std::vector<std::int32_t> weights;
  int stride = 0;

  const std::int32_t* row(int i) const { return weights.data() + std::int64_t{i} * stride; }
};

// Keys' cubic with a = -0.5.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Every operation rounds as in Pillow: the build allows no fused multiply-add (CMakeLists.txt).
Filter make_filter(int source, int target) {
  const double scale = static_cast<double>(source) / target;
  const double stretch = std::max(scale, 1.0);  // antialiasing: widen the kernel when reducing
  const double support = kSupport * stretch;
  Filter filter;
  filter.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  filter.first.resize(target);
  filter.count.resize(target);
  filter.weights.resize(std::size_t(target) * filter.stride);
  std::vector<double> exact(filter.stride);
  for (int i = 0; i < target; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(source, static_cast<int>(center + support + 0.5)) - first;
    double sum = 0.0;
    for (int k = 0; k < count; ++k) {
      exact[k] = bicubic((k + first - center + 0.5) * (1.0 / stretch));
      sum += exact[k];
    }
    std::int32_t* weights = filter.weights.data() + std::size_t(i) * filter.stride;
    for (int k = 0; k < count; ++k) {
      const double scaled = exact[k] / sum * (1 << kFractionBits);
      weights[k] = static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    filter.first[i] = first;
    filter.count[i] = count;
  }
  return filter;
}

inline std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

void filter_row(const std::uint8_t* source, const Filter& filter, std::uint8_t* target) {
  const int width = static_cast<int>(filter.first.size());
  for (int x = 0; x < width; ++x, target += 3) {
    const std::uint8_t* pixel = source + std::int64_t{filter.first[x]} * 3;
    const std::int32_t* weights = filter.row(x);
    std::int32_t red = kHalf, green = kHalf, blue = kHalf;
    for (int k = 0; k < filter.count[x]; ++k, pixel += 3) {
      red += weights[k] * pixel[0];
      green += weights[k] * pixel[1];
      blue += weights[k] * pixel[2];
    }
    target[0] = to_byte(red);
    target[1] = to_byte(green);
    target[2] = to_byte(blue);
  }
}

/// target[x] = the weighted sum of `count` rows of `bytes` values each.
INTERNVL_CLONE_AVX2
void filter_rows(const std::uint8_t* rows, std::int64_t bytes, const std::int32_t* weights,
                 int count, std::uint8_t* target) {
  constexpr int kChunk = 256;  // sums stay in the first-level cache
  std::int32_t sums[kChunk];
  for (std::int64_t start = 0; start < bytes; start += kChunk) {
    const int length = static_cast<int>(std::min<std::int64_t>(kChunk, bytes - start));
    for (int x = 0; x < length; ++x) sums[x] = kHalf;
    for (int k = 0; k < count; ++k) {
      const std::uint8_t* row = rows + k * bytes + start;
      const std::int32_t weight = weights[k];
      for (int x = 0; x < length; ++x) sums[x] += weight * row[x];
    }
    for (int x = 0; x < length; ++x) target[start + x] = to_byte(sums[x]);
  }
}

/// One row of pixels per thread, reused.
std::uint8_t* scratch(int width) {
  static thread_local std::vector<std::uint8_t> row;
  row.resize(std::size_t(width) * 3);
  return row.data();
}

/// body(y) for all y in [0, rows), in parallel.
template <class Body>
void for_each_row(int rows, const Body& body) {
  parallel_for((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task, int) {
    const int first = static_cast<int>(task) * kRowsPerTask;
    for (int y = first; y < std::min(rows, first + kRowsPerTask); ++y) body(y);
  });
}

void resize_width(const RgbView& image, int width, const RowSink& sink) {
  const Filter filter = make_filter(image.width, width);
  for_each_row(image.height, [&](int y) {
    std::uint8_t* row = scratch(width);
    filter_row(image.row(y), filter, row);
    sink(y, row);
  });
}

void resize_height(const RgbView& image, int height, const RowSink& sink) {
  const Filter filter = make_filter(image.height, height);
  for_each_row(height, [&](int y) {
    std::uint8_t* row = scratch(image.width);
    filter_rows(image.row(filter.first[y]), std::int64_t{image.width} * 3, filter.row(y),
                filter.count[y], row);
    sink(y, row);
  });
}

/// Which axis goes first shows in the rounding. Pillow 13 starts with the height where that
/// saves work; earlier releases always start with the width.
bool height_first(const RgbView& image, int width, int height) {
  const std::int64_t rows_saved = std::int64_t{image.height} - height;
  const std::int64_t columns_saved = std::int64_t{image.width} - width;
  return rows_saved > 0 && rows_saved > 2 * columns_saved;
}

}  // namespace

void resize_bicubic(const RgbView& image, int width, int height, const RowSink& sink) {
  check(image.width > 0 && image.height > 0, "image: expected at least one pixel, got ",
        image.width, " x ", image.height);
  check(width > 0 && height > 0, "size: expected at least 1 x 1, got ", width, " x ", height);
  if (width == image.width && height == image.height) {
    for_each_row(height, [&](int y) { sink(y, image.row(y)); });
  } else if (width == image.width) {
    resize_height(image, height, sink);
  } else if (height == image.height) {
    resize_width(image, width, sink);
  } else if (height_first(image, width, height)) {
    RgbImage between(image.width, height);
    resize_height(image, height, between.writer());
    resize_width(between.view(), width, sink);
  } else {
    RgbImage between(width, image.height);
    resize_width(image, width, between.writer());
    resize_height(between.view(), height, sink);
  }
}

}  // namespace internvl
