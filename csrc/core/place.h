// Where memory lies.
#pragma once

#include <cstdint>

namespace internvl {

/// A backend's operations read and write memory in one place, its own.
enum class Place : std::uint8_t {
  kHost,
  kDevice,  ///< of the accelerator of the backend at hand; the host must not touch it
};

}  // namespace internvl
