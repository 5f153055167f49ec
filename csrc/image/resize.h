// Pillow's Image.resize for 8-bit RGB, bit for bit.
#pragma once

#include "image/rgb.h"

namespace internvl {

/// Bicubic with antialiasing in 22-bit fixed point, one axis after the other and rounded to
/// 8 bits in between, as Pillow's default filter; an axis that keeps its length is left untouched.
/// Passes the rows of the result to the sink. Throws InvalidArgument for a length below 1.
void resize_bicubic(const RgbView& image, int width, int height, const RowSink& sink);

}  // namespace internvl
