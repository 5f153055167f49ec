from __future__ import annotations

import pytest
from tests.support.sanitizer import SANITIZED


@pytest.fixture(scope="session", autouse=True)
def _without_sanitizer() -> None:
    """The emulation sees to every access itself, on fibers that the sanitizer does not know."""
    if SANITIZED:
        pytest.skip("the emulated kernels are checked without the sanitizer")
