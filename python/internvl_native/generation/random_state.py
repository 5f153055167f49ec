"""Seeds of sampling calls."""

from __future__ import annotations

import random
import sys
import threading

__all__ = ["manual_seed", "next_seed"]

_lock = threading.Lock()
_state = random.Random()


def manual_seed(seed: int) -> None:
    """Makes the sampling calls that follow reproducible.

    Where torch is loaded its default generator is the source of seeds, so that
    ``torch.manual_seed`` works; this function then seeds that generator, too.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"`seed` has to be an integer, got {type(seed).__name__}")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
    with _lock:
        _state.seed(seed)


def next_seed() -> int:
    """A fresh 63-bit seed for one call."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.randint(0, 2**63 - 1, (1,)).item())
    with _lock:
        return _state.getrandbits(63)
