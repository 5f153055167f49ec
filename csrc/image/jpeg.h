// JPEG files to RGB pixels, with libjpeg-turbo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "image/resize.h"
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
/// ImageError.
class JpegDecoder {
 public:
  /// Reads the header. Throws ImageError if it has another size than announced.
  explicit JpegDecoder(const JpegFile& file);
  ~JpegDecoder();

  /// Writes all pixels to an image of the file's size, from the top.
  void decode(RgbImage& image, RowProgress& progress);

 private:
  class Decompressor;
  std::unique_ptr<Decompressor> decompressor_;
};

}  // namespace internvl
