#include <algorithm>

#include "backend/checks.h"
#include "cuda/kernels/kernels.h"
#include "cuda/kernels/rows.cuh"

namespace internvl::cuda {
namespace {

Grid rows_of(const Tensor& tensor) { return {static_cast<unsigned>(tensor.rows)}; }

}  // namespace

void patchify(Stream stream, Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
              std::int64_t width, std::int64_t patch) {
  const std::int64_t count = height / patch * (width / patch);
  check_shape("patchify: pixels", pixels, pixels.rows, channels * height * width);
  check_shape("patchify: out", out, pixels.rows * count,
              std::max(out.cols, channels * patch * patch));
  if (out.rows == 0) return;
  const Patches patches{static_cast<int>(channels), static_cast<int>(height),
                        static_cast<int>(width), static_cast<int>(patch),
                        static_cast<int>(out.cols)};
  with_element(out.dtype, [&](auto to) {
    with_element(pixels.dtype, [&](auto from) {
      using Out = decltype(to);
      using In = decltype(from);
      launch(patchify_kernel<Out, In>, rows_of(out), kRowThreads, 0, stream,
             static_cast<Out*>(out.data), out.stride, static_cast<const In*>(pixels.data),
             pixels.stride, patches);
    });
  });
}

void vision_embed(Stream stream, Tensor hidden, Tensor patches, Tensor class_embedding,
                  Tensor position) {
  check_vision_embed(hidden, patches, class_embedding, position);
  const std::int64_t tokens = position.rows;
  if (hidden.rows == 0) return;
  const bool aligned =
      has_quads(hidden) && has_quads(patches) && has_quads(class_embedding) && has_quads(position);
  with_element(patches.dtype, [&](auto from) {
    using Patch = decltype(from);
    launch(vision_embed_kernel<Patch>, rows_of(hidden), kRowThreads, 0, stream,
           static_cast<float*>(hidden.data), hidden.stride, static_cast<const Patch*>(patches.data),
           patches.stride, static_cast<const float*>(class_embedding.data),
           static_cast<const float*>(position.data), position.stride, static_cast<int>(tokens),
           static_cast<int>(hidden.cols), aligned);
  });
}

void gather_rows(Stream stream, Tensor out, Tensor table, const std::int32_t* rows) {
  check_shape("gather_rows: out", out, rows == nullptr ? table.rows : out.rows, table.cols);
  if (out.rows == 0) return;
  const bool aligned = has_quads(out) && has_quads(table);
  with_element(out.dtype, [&](auto to) {
    with_element(table.dtype, [&](auto from) {
      using Out = decltype(to);
      using In = decltype(from);
      launch(gather_rows_kernel<Out, In>, rows_of(out), kRowThreads, 0, stream,
             static_cast<Out*>(out.data), out.stride, static_cast<const In*>(table.data),
             table.stride, rows, static_cast<int>(out.cols), aligned);
    });
  });
}

PixelShuffle pixel_shuffle_of(const Tensor& out, const Tensor& x, std::int64_t side,
                              std::int64_t factor, bool transposed) {
  check_pixel_shuffle(out, x, side, factor);
  return {static_cast<int>(side), static_cast<int>(factor), static_cast<int>(x.cols), transposed};
}

void pixel_shuffle(Stream stream, Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                   bool transposed) {
  const PixelShuffle shuffle = pixel_shuffle_of(out, x, side, factor, transposed);
  if (out.rows == 0) return;
  const bool aligned = has_quads(out) && has_quads(x) && x.cols % kQuad == 0;
  with_element(out.dtype, [&](auto to) {
    with_element(x.dtype, [&](auto from) {
      using Out = decltype(to);
      using In = decltype(from);
      launch(pixel_shuffle_kernel<Out, In>, rows_of(out), kRowThreads, 0, stream,
             static_cast<Out*>(out.data), out.stride, static_cast<const In*>(x.data), x.stride,
             shuffle, aligned);
    });
  });
}

}  // namespace internvl::cuda
