"""Tests of what needs optional packages."""

from __future__ import annotations

from typing import Any

import pytest


def optional(module: str, extra: str) -> Any:
    """The module; skips the test, or the file, where the extra that brings it is not installed."""
    __tracebackhide__ = True
    reason = f"needs the extra [{extra}]: pip install 'internvl-native[{extra}]', or make extras"
    return pytest.importorskip(module, reason=reason)
