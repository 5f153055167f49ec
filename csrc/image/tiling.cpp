#include "image/tiling.h"

#include <cstring>
#include <limits>

#include "core/error.h"

namespace internvl {
namespace {

/// emit(tile, y, row) for every row of every tile, from several threads at once.
template <class Emit>
void for_each_tile_row(const RgbView& image, const RowProducer& produce, const TileGrid& grid,
                       const Emit& emit) {
  const int size = grid.tile_size;
  const RowSink cut = [&](int y, const std::uint8_t* row) {
    const int first = y / size * grid.columns;
    for (int column = 0; column < grid.columns; ++column) {
      emit(first + column, y % size, row + std::int64_t{column} * size * 3);
    }
  };
  const RowSink thumbnail = [&](int y, const std::uint8_t* row) { emit(grid.cells(), y, row); };
  std::vector<Resizing> all;
  all.emplace_back(image, grid.columns * size, grid.rows * size, cut);
  if (grid.tiles() > grid.cells()) all.emplace_back(image, size, size, thumbnail);
  resize(all, produce);
}

using ByteToFloat = std::array<float, 256>;

std::array<ByteToFloat, 3> make_tables(const Normalization& norm) {
  std::array<ByteToFloat, 3> tables;
  for (int c = 0; c < 3; ++c) {
    for (int value = 0; value < 256; ++value) {
      const float unit = static_cast<float>(value) / 255.0f;
      const float centered = unit - norm.mean[c];
      tables[c][value] = centered / norm.std[c];
    }
  }
  return tables;
}

/// Writes some neighbouring pixels of a row to the planes of red, green and blue: values that are
/// stored together cost one store.
template <int kPixels>
void normalize(const std::uint8_t* pixels, const std::array<ByteToFloat, 3>& tables, float* red,
               std::int64_t plane) {
  for (int c = 0; c < 3; ++c) {
    float values[kPixels];
    for (int i = 0; i < kPixels; ++i) values[i] = tables[c][pixels[3 * i + c]];
    std::memcpy(red + c * plane, values, sizeof values);
  }
}

}  // namespace

void TileGrid::validate() const {
  constexpr int kMax = std::numeric_limits<int>::max() / 3;
  check(tile_size > 0, "tile_size: expected at least 1, got ", tile_size);
  check(columns > 0 && rows > 0, "grid: expected at least 1 x 1, got ", columns, " x ", rows);
  check(columns <= kMax / rows, "grid: too many tiles: ", columns, " x ", rows);
  check(tile_size <= kMax / columns && tile_size <= kMax / rows, "tile_size: too large for ",
        columns, " x ", rows, " tiles: ", tile_size);
}

void cut_tiles(const RgbView& image, const RowProducer& produce, const TileGrid& grid,
               std::uint8_t* tiles) {
  const std::int64_t row_bytes = std::int64_t{grid.tile_size} * 3;
  for_each_tile_row(image, produce, grid, [&](int tile, int y, const std::uint8_t* row) {
    std::memcpy(tiles + (std::int64_t{tile} * grid.tile_size + y) * row_bytes, row, row_bytes);
  });
}

void cut_pixel_values(const RgbView& image, const RowProducer& produce, const TileGrid& grid,
                      const Normalization& norm, float* pixel_values) {
  const std::array<ByteToFloat, 3> tables = make_tables(norm);
  const std::int64_t size = grid.tile_size;
  for_each_tile_row(image, produce, grid, [&](int tile, int y, const std::uint8_t* row) {
    constexpr int kPixels = 4;
    float* red = pixel_values + (std::int64_t{tile} * 3 * size + y) * size;
    std::int64_t x = 0;
    for (; x + kPixels <= size; x += kPixels) {
      normalize<kPixels>(row + 3 * x, tables, red + x, size * size);
    }
    for (; x < size; ++x) normalize<1>(row + 3 * x, tables, red + x, size * size);
  });
}

}  // namespace internvl
