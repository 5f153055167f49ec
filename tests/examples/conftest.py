"""What all tests of the examples share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_proxy() -> Iterator[None]:
    """The servers of these tests are on this machine."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield
