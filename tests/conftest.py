"""What all tests need."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Shells start what they put into the background deaf to Ctrl-C, which tests are about."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
