// For loops that wait for another thread.
#pragma once

namespace internvl {

/// Leaves a core that two threads share to the other one for a moment.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace internvl
