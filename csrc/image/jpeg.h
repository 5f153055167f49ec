// JPEG files to RGB pixels, with libjpeg-turbo.
#pragma once

#include <cstddef>
#include <cstdint>

#include "image/rgb.h"

namespace internvl {

/// A JPEG file in memory, and the size that its header announced to the caller.
struct JpegFile {
  const std::uint8_t* data;
  std::size_t bytes;
  int width;
  int height;
};

/// Decodes with libjpeg's default settings (accurate DCT, smooth chroma upsampling), which give
/// Pillow's bytes; grey and CMYK files become RGB as in Pillow's convert('RGB'); EXIF orientation
/// is not applied. Strict: whatever libjpeg warns about, a truncated file above all, throws
/// ImageError, as does a size other than the announced one.
RgbImage decode_jpeg(const JpegFile& file);

}  // namespace internvl
