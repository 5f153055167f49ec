"""Numbers as people read them."""

from __future__ import annotations

import pytest

from internvl_native.units import count, plural, rate, size


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1 K"), (999_600, "1 M"), (2_205_754_368, "2.21 B")],
)
def test_count(value: int, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1 bytes"), (4_411_508_736, "4.41 GB"), (10**18, "1e+06 TB")]
)
def test_size(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (12.345, "12.3"), (12345.6, "12,346")]
)
def test_rate(value: float, text: str) -> None:
    assert rate(value) == text


def test_plural() -> None:
    assert [plural(number, "tile") for number in (0, 1, 2)] == ["0 tiles", "1 tile", "2 tiles"]
