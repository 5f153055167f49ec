#include "image/resize.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/pause.h"
#include "core/thread_pool.h"

namespace internvl {
namespace {

/// Memory of the calling thread, reused.
template <int kNumber>
std::uint8_t* scratch(std::int64_t bytes) {
  static thread_local std::vector<std::uint8_t> memory;
  if (static_cast<std::int64_t>(memory.size()) < bytes) memory.resize(bytes);
  return memory.data();
}

/// Rows from number `first` on, of `bytes` each, in memory that ends at `limit`.
struct Rows {
  const std::uint8_t* data;
  std::int64_t bytes;
  std::int64_t stride;
  int first;
  const std::uint8_t* limit;

  const std::uint8_t* row(int y) const { return data + (y - first) * stride; }
};

/// The first rows of an image; others may not be there yet.
Rows rows_of(const RgbView& image, int count) {
  return {image.pixels, image.row_bytes(), image.row_bytes(), 0, image.row(count)};
}

/// Rows [begin, end), filtered along.
Rows filter_widths(const BicubicFilter& filter, const Rows& rows, int begin, int end) {
  constexpr int kRows = cpu::kFilterRows;
  const std::int64_t bytes = std::int64_t{filter.outputs()} * 3;
  const std::int64_t stride = bytes + cpu::kFilterSlack;
  const std::int64_t padded = rows.bytes + filter.read_slack();
  std::uint8_t* memory = scratch<0>((end - begin) * stride + kRows * padded);
  std::uint8_t* limit = memory + (end - begin) * stride;
  for (int y = begin; y < end; y += kRows) {
    const std::uint8_t* source[kRows];
    std::uint8_t* target[kRows];
    for (int r = 0; r < kRows; ++r) {
      const int row = std::min(y + r, end - 1);
      source[r] = rows.row(row);
      target[r] = memory + (row - begin) * stride;
      if (rows.limit - source[r] < padded) {
        source[r] =
            static_cast<std::uint8_t*>(std::memcpy(limit + r * padded, source[r], rows.bytes));
      }
    }
    filter.filter_rows(source, target);
  }
  return {memory, bytes, stride, begin, limit};
}

/// Which axis goes first shows in the rounding. Pillow 13 starts with the height where that
/// saves work; earlier releases always start with the width.
bool saves_work(const RgbView& image, int width, int height) {
  const std::int64_t rows_saved = std::int64_t{image.height} - height;
  const std::int64_t columns_saved = std::int64_t{image.width} - width;
  return rows_saved > 0 && rows_saved > 2 * columns_saved;
}

}  // namespace

void RowProgress::reach(int rows) {
  {
    const std::lock_guard<std::mutex> lock(sleep_);
    rows_.store(rows, std::memory_order_release);
  }
  wake_.notify_all();
}

bool RowProgress::wait(int rows) {
  const auto arrived = [&] {
    const int there = rows_.load(std::memory_order_acquire);
    return there == kAbandoned || there >= rows;
  };
  // The next rows are often about to come. Then sleep: on a busy machine, who yields instead is
  // the last to run again.
  constexpr int kLooks = 2000;
  for (int look = 0; look < kLooks && !arrived(); ++look) pause();
  if (!arrived()) {
    std::unique_lock<std::mutex> lock(sleep_);
    wake_.wait(lock, arrived);
  }
  return rows_.load(std::memory_order_acquire) != kAbandoned;
}

Resizing::Resizing(const RgbView& image, int width, int height, RowSink sink)
    : image_(image), width_(width), height_(height), sink_(std::move(sink)) {
  check(image.width > 0 && image.height > 0, "image: expected at least one pixel, got ",
        image.width, " x ", image.height);
  check(width > 0 && height > 0, "size: expected at least 1 x 1, got ", width, " x ", height);
  if (width != image.width) widths_.emplace(BicubicFilter::Axis::kWidth, image.width, width);
  if (height != image.height) heights_.emplace(BicubicFilter::Axis::kHeight, image.height, height);
  heights_first_ = widths_ && heights_ && saves_work(image, width, height);
}

int Resizing::rows_needed(int end) const { return heights_ ? heights_->end(end - 1) : end; }

void Resizing::run(int begin, int end) const {
  if (heights_first_) {
    heights_first(begin, end);
  } else {
    widths_first(begin, end);
  }
}

void Resizing::widths_first(int begin, int end) const {
  Rows rows = rows_of(image_, rows_needed(end));
  if (widths_) {
    rows =
        filter_widths(*widths_, rows, heights_ ? heights_->first(begin) : begin, rows_needed(end));
  }
  std::uint8_t* line = heights_ ? scratch<1>(rows.bytes) : nullptr;
  for (int y = begin; y < end; ++y) {
    if (heights_) {
      heights_->filter_columns(y, rows.row(heights_->first(y)), rows.stride, rows.bytes, line);
    }
    sink_(y, heights_ ? line : rows.row(y));
  }
}

void Resizing::heights_first(int begin, int end) const {
  const std::int64_t bytes = image_.row_bytes();
  std::uint8_t* memory = scratch<1>((end - begin) * bytes);
  for (int y = begin; y < end; ++y) {
    heights_->filter_columns(y, image_.row(heights_->first(y)), bytes, bytes,
                             memory + (y - begin) * bytes);
  }
  const Rows between{memory, bytes, bytes, begin, memory + (end - begin) * bytes};
  const Rows rows = filter_widths(*widths_, between, begin, end);
  for (int y = begin; y < end; ++y) sink_(y, rows.row(y));
}

void resize(const std::vector<Resizing>& all, const RowProducer& produce) {
  // Neighbouring rows share inputs, which every task filters for itself: not too few at once.
  constexpr int kLeastRows = 16;
  constexpr int kMostRows = 64;
  constexpr std::int64_t kMostBytes = 1 << 22;
  struct Task {
    const Resizing* resizing;
    int begin;
    int end;
    int needed;
  };
  int total = 0;
  for (const Resizing& resizing : all) total += resizing.height();
  const int rows = std::clamp(total / (4 * num_threads()), kLeastRows, kMostRows);
  std::vector<Task> tasks;
  for (const Resizing& resizing : all) {
    const int step = std::clamp<std::int64_t>(kMostBytes / resizing.row_bytes(), 1, rows);
    for (int begin = 0; begin < resizing.height(); begin += step) {
      const int end = std::min(begin + step, resizing.height());
      tasks.push_back({&resizing, begin, end, resizing.rows_needed(end)});
    }
  }
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.needed < b.needed; });
  RowProgress progress;
  const auto run = [&](std::int64_t number, int) {
    const Task& task = tasks[number];
    if (progress.wait(task.needed)) task.resizing->run(task.begin, task.end);
  };
  parallel_for(tasks.size(), run, [&] {
    try {
      produce(progress);
    } catch (...) {
      progress.abandon();
      throw;
    }
  });
}

}  // namespace internvl
