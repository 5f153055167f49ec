// Element types of tensors. Plain types and nothing else: files compiled for one instruction set
// include this, and an inline function that they share with the rest of the library could leak
// their instructions into it (the linker keeps either copy).
#pragma once

#include <cstdint>

namespace internvl {

enum class DType : std::uint8_t { kFloat32, kBFloat16, kFloat16 };

/// Storage of a bfloat16: the upper half of a float32.
struct BFloat16 {
  std::uint16_t bits;
};

/// Storage of an IEEE binary16.
struct Float16 {
  std::uint16_t bits;
};

}  // namespace internvl
