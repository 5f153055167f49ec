// Ctrl-C while the model runs.
#pragma once

namespace internvl::bind {

/// A CheckInterrupt: lets Python's signal handlers run and throws what they raise.
void check_signals();

}  // namespace internvl::bind
