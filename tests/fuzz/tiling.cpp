// libFuzzer: pixels of any size through the resize and the tiling.
#include "image/tiling.h"

#include <fuzzer/FuzzedDataProvider.h>

#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  FuzzedDataProvider input(data, bytes);
  const int width = input.ConsumeIntegralInRange(1, 3000);
  const int height = input.ConsumeIntegralInRange(1, 3000 / width + 1);
  const internvl::TileGrid grid{input.ConsumeIntegralInRange(1, 6),
                                input.ConsumeIntegralInRange(1, 6),
                                input.ConsumeIntegralInRange(1, 40), input.ConsumeBool()};
  std::vector<std::uint8_t> pixels = input.ConsumeRemainingBytes<std::uint8_t>();
  pixels.resize(std::size_t(width) * height * 3);
  const internvl::Normalization norm{{0.5f, 0.0f, 1.0f}, {0.5f, 1.0f, 2.0f}};
  std::vector<float> values(std::size_t(grid.tiles()) * 3 * grid.tile_size * grid.tile_size);
  const auto produce = [&](internvl::RowProgress& progress) { progress.reach(height); };
  internvl::cut_pixel_values({pixels.data(), width, height}, produce, grid, norm, values.data());
  for (const float value : values)
    if (!(value >= -1.0f && value <= 1.0f)) __builtin_trap();
  return 0;
}
