#include "image/jpeg.h"

// jpeglib.h uses FILE without including its header.
// clang-format off
#include <csetjmp>
#include <cstdio>
#include <jpeglib.h>
// clang-format on

#include "core/error.h"

namespace internvl {
namespace {

/// libjpeg's decoder. Its errors, and its warnings, end the call that meets them.
class Decompressor {
 public:
  Decompressor() {
    info_.client_data = this;
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr info) { stop(info); };
    errors_.emit_message = [](j_common_ptr info, int level) {
      if (level < 0) stop(info);  // from 0 on, messages are for tracing
    };
    run([&] { jpeg_create_decompress(&info_); });
  }
  ~Decompressor() { jpeg_destroy_decompress(&info_); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  void read_header(const JpegFile& file) {
    run([&] {
      jpeg_mem_src(&info_, file.data, file.bytes);
      jpeg_read_header(&info_, TRUE);
      info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    });
  }

  unsigned width() const { return info_.image_width; }
  unsigned height() const { return info_.image_height; }
  bool is_cmyk() const { return info_.out_color_space == JCS_CMYK; }

  void start() {
    run([&] { jpeg_start_decompress(&info_); });
  }
  void read_row(std::uint8_t* row) {
    run([&] { jpeg_read_scanlines(&info_, &row, 1); });
  }

 private:
  /// Calls into libjpeg. Frames that stop() jumps over must own nothing.
  template <class Call>
  void run(const Call& call) {
    if (setjmp(caller_) != 0) throw ImageError(message("JPEG: ", text_));
    call();
  }

  [[noreturn]] static void stop(j_common_ptr info) {
    auto* self = static_cast<Decompressor*>(info->client_data);
    info->err->format_message(info, self->text_);
    longjmp(self->caller_, 1);
  }

  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf caller_;
  char text_[JMSG_LENGTH_MAX] = "";
};

// round(a * b / 255), as Pillow computes it.
std::uint8_t multiply_unit(std::uint8_t a, std::uint8_t b) {
  const std::uint32_t product = std::uint32_t{a} * b + 128;
  return static_cast<std::uint8_t>(((product >> 8) + product) >> 8);
}

// Four-channel JPEG files store inverted ink (Adobe's convention, which Pillow assumes for all of
// them): 255 is no ink.
void inverted_cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, int pixels) {
  for (int i = 0; i < pixels; ++i, cmyk += 4, rgb += 3) {
    const std::uint8_t paper = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const auto ink = static_cast<std::uint8_t>(255 - cmyk[c]);
      rgb[c] = static_cast<std::uint8_t>(paper - multiply_unit(ink, paper));
    }
  }
}

}  // namespace

RgbImage decode_jpeg(const JpegFile& file) {
  Decompressor decompressor;
  decompressor.read_header(file);
  check<ImageError>(decompressor.width() == static_cast<unsigned>(file.width) &&
                        decompressor.height() == static_cast<unsigned>(file.height),
                    "JPEG: expected ", file.width, " x ", file.height, " pixels, got ",
                    decompressor.width(), " x ", decompressor.height());
  RgbImage image(file.width, file.height);
  decompressor.start();
  if (decompressor.is_cmyk()) {
    const Buffer cmyk(std::size_t(file.width) * 4);
    for (int y = 0; y < file.height; ++y) {
      decompressor.read_row(cmyk.as<std::uint8_t>());
      inverted_cmyk_to_rgb(cmyk.as<std::uint8_t>(), image.row(y), file.width);
    }
  } else {
    for (int y = 0; y < file.height; ++y) decompressor.read_row(image.row(y));
  }
  return image;
}

}  // namespace internvl
