// Pixels: interleaved 8-bit RGB, rows without padding.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>

#include "core/buffer.h"

namespace internvl {

/// Borrowed pixels, height x width x 3.
struct RgbView {
  const std::uint8_t* pixels;
  int width;
  int height;

  std::int64_t row_bytes() const { return std::int64_t{width} * 3; }
  const std::uint8_t* row(int y) const { return pixels + y * row_bytes(); }
};

/// Takes one finished row of pixels. Rows come in any order, from several threads at once.
using RowSink = std::function<void(int y, const std::uint8_t* row)>;

/// Copies rows into height x width x 3 bytes.
inline RowSink row_writer(std::uint8_t* pixels, int width) {
  const std::int64_t row_bytes = std::int64_t{width} * 3;
  return
      [=](int y, const std::uint8_t* row) { std::memcpy(pixels + y * row_bytes, row, row_bytes); };
}

/// Owned pixels, uninitialised at first.
class RgbImage {
 public:
  RgbImage(int width, int height)
      : pixels_(std::size_t(width) * height * 3), width_(width), height_(height) {}

  RgbView view() const { return {pixels_.as<std::uint8_t>(), width_, height_}; }
  std::uint8_t* row(int y) { return pixels_.as<std::uint8_t>() + y * view().row_bytes(); }

 private:
  Buffer pixels_;
  int width_;
  int height_;
};

}  // namespace internvl
