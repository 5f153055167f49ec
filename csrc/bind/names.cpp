#include "bind/names.h"

#include "core/error.h"

namespace internvl::bind {

DType parse_dtype(const std::string& name) {
  for (DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (name == name_of(dtype)) return dtype;
  }
  throw InvalidArgument(
      message("dtype: expected 'float32', 'bfloat16' or 'float16', got '", name, "'"));
}

Activation parse_activation(const std::string& name) {
  if (name == "none") return Activation::kNone;
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_tanh") return Activation::kGeluTanh;
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu") return Activation::kSilu;
  throw InvalidArgument(message("activation: unknown name '", name, "'"));
}

}  // namespace internvl::bind
