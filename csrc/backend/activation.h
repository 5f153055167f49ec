// The activation functions of the supported models. No inline functions: see core/element.h.
#pragma once

#include <cstdint>

namespace internvl {

enum class Activation : std::uint8_t {
  kNone,
  kGelu,       ///< exact, by erf
  kGeluTanh,   ///< "gelu_new", "gelu_pytorch_tanh"
  kQuickGelu,  ///< x * sigmoid(1.702 x)
  kRelu,
  kSilu,
};

}  // namespace internvl
