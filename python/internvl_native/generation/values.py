"""Checks of single parameter values. Each error names the parameter and what it got."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

__all__ = [
    "LARGEST",
    "exceeds",
    "finite_number",
    "integer",
    "positive_float",
    "resolve_token",
    "resolve_tokens",
    "tokens",
]


LARGEST = 2**62
"""What larger integers mean as well; the engine adds to them in 64 bits."""


def integer(name: str, value: Any, largest: int = LARGEST) -> int:
    """An int or anything that is one (numpy integers). TypeError otherwise, ValueError beyond."""
    try:
        index = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` has to be an integer, but is {value!r}") from None
    if abs(index) > largest:
        raise ValueError(f"`{name}` has to be between {-largest} and {largest}, but is {index:#x}")
    return index


def exceeds(name: str, value: Any, limit: float) -> bool:
    """Whether a number is there and above the limit. TypeError for what is no number."""
    return value is not None and _number(name, value) > limit


def finite_number(name: str, value: Any) -> float:
    """A finite float. TypeError for what is no number, ValueError for NaN and infinities."""
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"`{name}` has to be a finite number, but is {value!r}")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"`{name}` has to be a number, but is {value!r}")
    try:
        return float(value)
    except OverflowError:  # an int beyond what floats reach
        return math.inf if value > 0 else -math.inf


def positive_float(name: str, value: Any) -> float:
    """As the reference's processors: a float above zero, no int. ValueError otherwise."""
    if not isinstance(value, float) or not value > 0:
        raise ValueError(f"`{name}` has to be a strictly positive float, but is {value}")
    return finite_number(name, value)


def tokens(name: str, value: Any) -> list[int]:
    """Token ids: an int, or several of them; None is none."""
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [integer(name, item) for item in value]
    return [integer(name, value)]


def resolve_token(name: str, token: int, vocab_size: int) -> int:
    """Index of a token in the scores; negative ones count from the end, as in the reference."""
    if not -vocab_size <= token < vocab_size:
        raise ValueError(f"`{name}` has token {token}, outside the vocabulary of {vocab_size}")
    return token % vocab_size


def resolve_tokens(name: str, value: Any, vocab_size: int) -> list[int]:
    """Indices of several tokens in the scores."""
    return [resolve_token(name, token, vocab_size) for token in tokens(name, value)]
