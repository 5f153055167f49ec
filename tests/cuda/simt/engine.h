// Faults and the threads of a block.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "simt.h"

namespace simt {

/// A kernel did what would be undefined on a device.
class Fault : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Ends the launch with a Fault about the running thread. `caller` is an address in the kernel.
[[noreturn]] void fail(const std::string& what, const void* caller);
[[noreturn]] void fail(const std::string& what, Site site);

/// The order of blocks and threads of later launches: 0 ascending, 1 descending, others at random.
void set_seed(std::uint32_t seed);

}  // namespace simt
