// What the outside world may do while a model runs: see activations by name (taps and hidden states
// are read this way), and interrupt.
#pragma once

#include <functional>
#include <string>

#include "core/tensor.h"

namespace internvl {

/// Called with a view in the backend's memory that is valid during the call only. Rows of later
/// chunks follow earlier ones.
using Observer = std::function<void(const std::string& name, Tensor value)>;

/// Called once a layer, which in a large model takes seconds; may throw to stop the computation.
using CheckInterrupt = std::function<void()>;

}  // namespace internvl
