// How long work takes on a GPU.
#pragma once

#include <functional>

#include "cuda/device.h"

namespace internvl::cuda {

/// Milliseconds of what `body` queues on the device: the mean over a few runs in the fastest of a
/// few rounds, after one run that loads what it needs. Waits for them.
float milliseconds(const Device& device, const std::function<void()>& body);

}  // namespace internvl::cuda
