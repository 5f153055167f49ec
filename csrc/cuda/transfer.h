// Bytes between the host and a GPU, and within one.
#pragma once

#include "core/tensor.h"
#include "cuda/device.h"

namespace internvl::cuda {

/// out = x, of one shape and dtype, either in the host's memory or the device's. What lies on the
/// host may change, or is complete, on return.
void transfer(const Device& device, Tensor out, Tensor x);

}  // namespace internvl::cuda
