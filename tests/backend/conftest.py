"""One `backend` fixture over every instruction set that this CPU has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from internvl_native import _core

# NaNs behind every row: they show up in results when an operation reads beyond a row, and the
# binding raises when an operation writes there.
PADDING = 5


@pytest.fixture(scope="session", params=_core.cpu_isas())
def backend(request: pytest.FixtureRequest) -> Any:
    return _core.kernels.Backend(_core.cpu_backend(request.param), padding=PADDING)


@pytest.fixture
def restore_threads() -> Iterator[None]:
    before = _core.num_threads()
    yield
    _core.set_num_threads(before)
