#include "image/jpeg.h"

// jpeglib.h uses FILE without including its header.
// clang-format off
#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <jpeglib.h>
// clang-format on

#include "core/error.h"

namespace internvl {

/// libjpeg's decoder. Its errors, and its warnings, end the call that meets them; so do files that
/// make it guess.
class JpegDecoder::Decompressor {
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
    check<ImageError>(!lacks_scans(), "JPEG: the file ends before its last scan");
  }
  /// Rows [begin, end) go to where `rows` points.
  void read_rows(std::uint8_t** rows, unsigned begin, unsigned end) {
    run([&] {
      while (info_.output_scanline < end) {
        jpeg_read_scanlines(&info_, rows + (info_.output_scanline - begin),
                            end - info_.output_scanline);
      }
    });
  }

 private:
  /// Whether a progressive file that has been read holds less than all bits of its coefficients.
  /// libjpeg smooths over what is missing, and each of its versions does so in another way.
  bool lacks_scans() const {
    if (info_.coef_bits == nullptr) return false;  // not progressive
    const int* bits = info_.coef_bits[0];  // of each component and coefficient: those to come
    return std::any_of(bits, bits + info_.num_components * DCTSIZE2, [](int b) { return b != 0; });
  }

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

namespace {

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

JpegDecoder::JpegDecoder(const JpegFile& file) : decompressor_(std::make_unique<Decompressor>()) {
  decompressor_->read_header(file);
  check<ImageError>(decompressor_->width() == static_cast<unsigned>(file.width) &&
                        decompressor_->height() == static_cast<unsigned>(file.height),
                    "JPEG: expected ", file.width, " x ", file.height, " pixels, got ",
                    decompressor_->width(), " x ", decompressor_->height());
}

JpegDecoder::~JpegDecoder() = default;

void JpegDecoder::decode(RgbImage& image, RowProgress& progress) {
  constexpr int kRows = 16;  // at once: two rows of blocks
  const auto [pixels, width, height] = image.view();
  const bool is_cmyk = decompressor_->is_cmyk();
  const std::int64_t ink_bytes = std::int64_t{width} * 4;
  const Buffer ink(is_cmyk ? kRows * ink_bytes : 0);
  decompressor_->start();
  for (int y = 0; y < height; y += kRows) {
    const int count = std::min(kRows, height - y);
    std::uint8_t* rows[kRows];
    for (int r = 0; r < count; ++r) {
      rows[r] = is_cmyk ? ink.as<std::uint8_t>() + r * ink_bytes : image.row(y + r);
    }
    decompressor_->read_rows(rows, y, y + count);
    if (is_cmyk) {
      for (int r = 0; r < count; ++r) inverted_cmyk_to_rgb(rows[r], image.row(y + r), width);
    }
    progress.reach(y + count);
  }
}

}  // namespace internvl
