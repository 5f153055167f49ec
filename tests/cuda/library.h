// What turns exceptions into messages for ctypes.
#pragma once

#include <functional>

namespace internvl::cuda::test {

/// Runs `body` and waits for its kernels; returns null, or what went wrong until the next call.
const char* guarded(const std::function<void()>& body);

}  // namespace internvl::cuda::test
