"""Numbers as people read them."""

from __future__ import annotations


def count(value: float) -> str:
    """12345678 -> "12.3 M"; B are thousands of millions."""
    return _scaled(value, ("", " K", " M", " B", " T"))


def size(value: float) -> str:
    """12345678 -> "12.3 MB", in powers of 1000."""
    return _scaled(value, (" bytes", " kB", " MB", " GB", " TB"))


def rate(value: float) -> str:
    """Three digits: "0.0123", "4.56", "123", "12,300"."""
    return f"{value:.3g}" if value < 100 else f"{round(value):,}"


def plural(number: int, noun: str) -> str:
    """ "1 tile", "2 tiles"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    index = 0
    while value >= 999.5 and index + 1 < len(units):
        value /= 1000
        index += 1
    return f"{value:.3g}{units[index]}"
