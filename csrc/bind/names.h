// The names that Python gives to dtypes and activations.
#pragma once

#include <string>

#include "backend/activation.h"
#include "core/dtype.h"

namespace internvl::bind {

/// "float32", "bfloat16", "float16"; throws InvalidArgument for other names.
DType parse_dtype(const std::string& name);

/// "none", "gelu", "gelu_tanh", "quick_gelu", "relu", "silu"
Activation parse_activation(const std::string& name);

}  // namespace internvl::bind
