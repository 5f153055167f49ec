// Position embeddings for tiles of another size than the trained one.
#pragma once

#include "core/matrix.h"

namespace internvl {

/// position is (1 + side^2, C) float32 of the host, row 0 the class token's. Returns (1 + height *
/// width, C):
/// row 0 as it is, the grid resampled as torch's interpolate(mode="bicubic", align_corners=False)
/// does (a = -0.75, borders clamped, float32). At the trained size this is the identity.
Matrix interpolate_position_embedding(Tensor position, std::int64_t side, std::int64_t height,
                                      std::int64_t width);

}  // namespace internvl
