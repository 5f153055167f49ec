// Dynamic high resolution: one image becomes a grid of square tiles, and often a thumbnail.
// Reference: dynamic_preprocess and build_transform of internvl/train/dataset.py.
#pragma once

#include <array>
#include <cstdint>

#include "image/resize.h"

namespace internvl {

/// How an image is cut: resized to (columns * tile_size) x (rows * tile_size), cut row by row,
/// and followed by a thumbnail of the whole if asked for and there is more than one tile.
struct TileGrid {
  int columns;
  int rows;
  int tile_size;
  bool thumbnail;

  /// Throws InvalidArgument unless all lengths are positive and the resized image addressable.
  void validate() const;
  int cells() const { return columns * rows; }
  int tiles() const { return cells() + (thumbnail && cells() > 1 ? 1 : 0); }
};

/// Mean and standard deviation per channel, of values in [0, 1].
struct Normalization {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

/// Writes (tiles, tile_size, tile_size, 3) bytes, of an image that `produce` makes meanwhile.
void cut_tiles(const RgbView& image, const RowProducer& produce, const TileGrid& grid,
               std::uint8_t* tiles);

/// Writes (tiles, 3, tile_size, tile_size) floats: (x / 255 - mean) / std in float32, each
/// operation rounded, as torchvision's ToTensor and Normalize do.
void cut_pixel_values(const RgbView& image, const RowProducer& produce, const TileGrid& grid,
                      const Normalization& norm, float* pixel_values);

}  // namespace internvl
