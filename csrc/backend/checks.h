// What every backend asks of the tensors of an operation. Each throws InvalidArgument.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "core/tensor.h"

namespace internvl {

inline void check_shape(const char* what, const Tensor& tensor, std::int64_t rows,
                        std::int64_t cols) {
  check(tensor.rows == rows && tensor.cols == cols, what, ": expected shape (", rows, ", ", cols,
        "), got (", tensor.rows, ", ", tensor.cols, ")");
}

inline void check_float32(const char* what, const Tensor& tensor) {
  check(tensor.dtype == DType::kFloat32, what, ": expected float32, got ", name_of(tensor.dtype));
}

/// Of `patches`, the shape alone.
inline void check_vision_embed(const Tensor& hidden, const Tensor& patches,
                               const Tensor& class_embedding, const Tensor& position) {
  const std::int64_t tokens = position.rows;
  check_shape("vision_embed: class_embedding", class_embedding, 1, hidden.cols);
  check_shape("vision_embed: position", position, tokens, hidden.cols);
  check(tokens >= 1 && hidden.rows % tokens == 0, "vision_embed: hidden: expected a multiple of ",
        tokens, " rows, got ", hidden.rows);
  check_shape("vision_embed: patches", patches, hidden.rows / tokens * (tokens - 1), hidden.cols);
  check_float32("vision_embed: hidden", hidden);
  check_float32("vision_embed: class_embedding", class_embedding);
  check_float32("vision_embed: position", position);
}

inline void check_qk_norm(const Tensor& q, const Tensor& k) {
  check(q.rows == k.rows && q.cols == k.cols && q.dtype == k.dtype,
        "qk_norm: expected q and k of one shape and dtype, got (", q.rows, ", ", q.cols, ") ",
        name_of(q.dtype), " and (", k.rows, ", ", k.cols, ") ", name_of(k.dtype));
}

inline void check_pixel_shuffle(const Tensor& out, const Tensor& x, std::int64_t side,
                                std::int64_t factor) {
  check(factor >= 1 && side >= 1 && side % factor == 0, "pixel_shuffle: expected a side that ",
        factor, " divides, got ", side);
  const std::int64_t tokens = side * side + 1;
  const std::int64_t small = side / factor;
  check(x.rows % tokens == 0, "pixel_shuffle: x: expected a multiple of ", tokens, " rows, got ",
        x.rows);
  check_shape("pixel_shuffle: out", out, x.rows / tokens * small * small, factor * factor * x.cols);
}

}  // namespace internvl
