// A hook that sees activations by name while a model runs: parity tests, feature extraction and
// hidden states are all read through it.
#pragma once

#include <functional>
#include <string>

#include "core/tensor.h"

namespace internvl {

/// Called with a view that is valid during the call only. Rows of later chunks follow earlier ones.
using Observer = std::function<void(const std::string& name, Tensor value)>;

}  // namespace internvl
