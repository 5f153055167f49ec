// Decoding, resizing and tiling of images. Each function exists for RGB arrays and for JPEG
// files; a JPEG comes with the (width, height) that its header announced to the caller.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include "bind/bind.h"
#include "bind/gil.h"
#include "core/error.h"
#include "image/jpeg.h"
#include "image/tiling.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

using RgbArray = py::array_t<std::uint8_t, py::array::c_style>;
using Size = std::pair<int, int>;

RgbView view_of(const RgbArray& pixels) {
  check(pixels.ndim() == 3 && pixels.shape(2) == 3, "pixels: expected shape (height, width, 3)");
  constexpr py::ssize_t kMax = std::numeric_limits<int>::max() / 3;
  check(pixels.shape(0) <= kMax && pixels.shape(1) <= kMax, "pixels: too large: ", pixels.shape(1),
        " x ", pixels.shape(0));
  return {pixels.data(), static_cast<int>(pixels.shape(1)), static_cast<int>(pixels.shape(0))};
}

JpegFile file_of(const py::bytes& data, Size size) {
  const std::string_view view(data);
  return {reinterpret_cast<const std::uint8_t*>(view.data()), view.size(), size.first, size.second};
}

RgbArray decode(const py::bytes& data, Size size) {
  const JpegFile file = file_of(data, size);
  auto image = [&] {
    const GilReleased release;
    JpegDecoder decoder(file);
    auto decoded = std::make_unique<RgbImage>(file.width, file.height);
    RowProgress progress;
    decoder.decode(*decoded, progress);
    return decoded;
  }();
  const RgbView view = image->view();
  const py::capsule owner(image.release(), [](void* p) { delete static_cast<RgbImage*>(p); });
  return RgbArray({view.height, view.width, 3}, view.pixels, owner);
}

/// For an image that is there.
RowProducer nothing_to_produce(const RgbView& image) {
  return [rows = image.height](RowProgress& progress) { progress.reach(rows); };
}

RgbArray resize_pixels(const RgbArray& pixels, Size size) {
  const RgbView image = view_of(pixels);
  const auto [width, height] = size;
  check(width > 0 && height > 0, "size: expected at least 1 x 1, got ", width, " x ", height);
  RgbArray resized({height, width, 3});
  const RowSink sink = row_writer(resized.mutable_data(), width);
  const GilReleased release;
  resize({Resizing(image, width, height, sink)}, nothing_to_produce(image));
  return resized;
}

/// Calls use(view, produce) without the GIL on pixels, or on what decoding a file gives.
template <class Use>
void with_pixels(const RgbView& pixels, const Use& use) {
  const GilReleased release;
  use(pixels, nothing_to_produce(pixels));
}

template <class Use>
void with_pixels(const JpegFile& file, const Use& use) {
  const GilReleased release;
  JpegDecoder decoder(file);
  RgbImage image(file.width, file.height);
  use(image.view(), [&](RowProgress& progress) { decoder.decode(image, progress); });
}

template <class Source>
RgbArray tiles(const Source& source, const TileGrid& grid) {
  grid.validate();
  RgbArray out({grid.tiles(), grid.tile_size, grid.tile_size, 3});
  std::uint8_t* data = out.mutable_data();
  with_pixels(source, [&](const RgbView& image, const RowProducer& produce) {
    cut_tiles(image, produce, grid, data);
  });
  return out;
}

template <class Source>
py::array_t<float> pixel_values(const Source& source, const TileGrid& grid,
                                const Normalization& norm) {
  grid.validate();
  py::array_t<float> out({grid.tiles(), 3, grid.tile_size, grid.tile_size});
  float* data = out.mutable_data();
  with_pixels(source, [&](const RgbView& image, const RowProducer& produce) {
    cut_pixel_values(image, produce, grid, norm, data);
  });
  return out;
}

}  // namespace

void bind_image(py::module_& module) {
  py::class_<TileGrid>(module, "TileGrid")
      .def(py::init([](int columns, int rows, int tile_size, bool thumbnail) {
             const TileGrid grid{columns, rows, tile_size, thumbnail};
             grid.validate();
             return grid;
           }),
           py::arg("columns"), py::arg("rows"), py::arg("tile_size"), py::arg("thumbnail"))
      .def_readonly("columns", &TileGrid::columns)
      .def_readonly("rows", &TileGrid::rows)
      .def_property_readonly("tiles", &TileGrid::tiles);
  py::class_<Normalization>(module, "Normalization")
      .def(py::init<std::array<float, 3>, std::array<float, 3>>(), py::arg("mean"), py::arg("std"));

  const auto pixels = py::arg("pixels").noconvert();
  const auto data = py::arg("data");
  const auto size = py::arg("size");
  const auto grid = py::arg("grid");
  const auto norm = py::arg("normalization");
  module.def("decode_jpeg", &decode, data, size);
  module.def("resize_bicubic", &resize_pixels, pixels, size);
  module.def(
      "cut_tiles",
      [](const RgbArray& array, const TileGrid& g) { return tiles(view_of(array), g); }, pixels,
      grid);
  module.def(
      "cut_pixel_values",
      [](const RgbArray& array, const TileGrid& g, const Normalization& n) {
        return pixel_values(view_of(array), g, n);
      },
      pixels, grid, norm);
  module.def(
      "cut_jpeg_pixel_values",
      [](const py::bytes& bytes, Size s, const TileGrid& g, const Normalization& n) {
        return pixel_values(file_of(bytes, s), g, n);
      },
      data, size, grid, norm);
}

}  // namespace internvl::bind
