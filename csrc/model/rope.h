// Rotary position embedding tables, as InternLM2 scales them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix.h"
#include "model/config.h"

namespace internvl {

/// The longest sequence in which a row of the table depends on its position alone: dynamic scaling
/// makes it depend on the sequence's length beyond.
std::int64_t unscaled_length(const DecoderConfig& config);

/// (positions.size(), head_dim) float32 of the host: [cos | sin] of each position.
/// sequence_length is that of the whole batch, padding included: "dynamic" scaling (NTK) raises
/// the base once it passes max_position_embeddings, as the reference does when its table grows.
Matrix rope_table(const std::vector<std::int32_t>& positions, std::int64_t sequence_length,
                  const DecoderConfig& config);

}  // namespace internvl
