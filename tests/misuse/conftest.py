from __future__ import annotations

import pytest
from tests.misuse.bench import Bench


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench()
