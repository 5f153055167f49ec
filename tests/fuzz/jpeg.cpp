// libFuzzer: JPEG files through the decoder, and what it makes of them through the tiling.
#include "image/jpeg.h"

#include <fuzzer/FuzzedDataProvider.h>

#include <vector>

#include "core/error.h"
#include "image/tiling.h"

namespace {

constexpr int kMaxPixels = 1 << 18;

struct Size {
  int width = 0;
  int height = 0;
};

// What a caller learns from the file's first frame header, as Pillow reads it.
Size announced_size(const std::vector<std::uint8_t>& file) {
  for (std::size_t i = 0; i + 8 < file.size(); ++i) {
    const bool frame_header = file[i] == 0xff && file[i + 1] >= 0xc0 && file[i + 1] <= 0xc2;
    if (frame_header) return {file[i + 7] << 8 | file[i + 8], file[i + 5] << 8 | file[i + 6]};
  }
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  // Numbers are taken from the end, so that an input is a JPEG file with a few bytes behind it.
  FuzzedDataProvider input(data, bytes);
  const internvl::TileGrid grid{input.ConsumeIntegralInRange(1, 4),
                                input.ConsumeIntegralInRange(1, 4),
                                input.ConsumeIntegralInRange(1, 40), input.ConsumeBool()};
  const std::vector<std::uint8_t> file = input.ConsumeRemainingBytes<std::uint8_t>();
  const Size size = announced_size(file);
  if (std::int64_t{size.width} * size.height > kMaxPixels) return 0;
  try {
    internvl::JpegDecoder decoder({file.data(), file.size(), size.width, size.height});
    internvl::RgbImage image(size.width, size.height);
    std::vector<std::uint8_t> tiles(std::size_t(grid.tiles()) * grid.tile_size * grid.tile_size *
                                    3);
    const auto decode = [&](internvl::RowProgress& progress) { decoder.decode(image, progress); };
    internvl::cut_tiles(image.view(), decode, grid, tiles.data());
  } catch (const internvl::ImageError&) {
  }
  return 0;
}
