// Activations on their way to those who asked for them.
#pragma once

#include "backend/backend.h"
#include "core/activations.h"

namespace internvl {

/// Hands an activation in the backend's memory to the recorders that want it. See
/// Activations::append().
void record(const Recorders& recorders, const Backend& backend, const std::string& name,
            Tensor value, const std::vector<std::int64_t>& sequences);

}  // namespace internvl
