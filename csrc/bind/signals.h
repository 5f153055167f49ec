// Ctrl-C, and timeouts that other threads set, while the model runs.
#pragma once

namespace internvl::bind {

/// With the GIL: lets Python's signal handlers run, and throws what they raise or what another
/// thread has raised in this one.
void throw_pending();

/// A CheckInterrupt: throw_pending(), taking the GIL every few milliseconds.
void check_signals();

}  // namespace internvl::bind
