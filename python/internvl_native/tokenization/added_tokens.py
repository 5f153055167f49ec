"""Added tokens: what they are, and how a text is cut at them."""

from __future__ import annotations

import dataclasses
import functools
import re
from re import Pattern
from typing import Any


@dataclasses.dataclass(eq=False)
class AddedToken:
    """A token that is cut out of the text before sentencepiece sees it.

    ``lstrip``/``rstrip`` swallow the whitespace on that side, ``single_word`` matches only
    between spaces, ``special`` tokens are skipped on request when decoding.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        if self.normalized is None:
            self.normalized = not self.special

    def __str__(self) -> str:
        return self.content

    @property
    def is_plain(self) -> bool:
        """Whether the token leaves its surroundings alone."""
        return not (self.single_word or self.lstrip or self.rstrip)


def as_added_token(value: Any, **defaults: Any) -> AddedToken:
    """Return ``value`` (a string, a dict of fields or any AddedToken) as an ``AddedToken``.

    ``defaults`` fill what a string or a dict leaves open. Raises ``TypeError`` for other types.
    """
    if isinstance(value, AddedToken):
        return value
    if isinstance(value, str):
        return AddedToken(value, **defaults)
    names = [field.name for field in dataclasses.fields(AddedToken)]
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return AddedToken(**{**defaults, **{k: value[k] for k in names if k in value}})
    if isinstance(getattr(value, "content", None), str):  # the tokenizers package's own class
        return AddedToken(**{k: getattr(value, k) for k in names})
    raise TypeError(f"token: expected str or AddedToken, got {type(value).__name__}")


@functools.lru_cache(maxsize=16)
def compile_splitter(words: tuple[str, ...]) -> Pattern[str]:
    """Return a pattern whose ``split`` cuts a text at ``words``: leftmost first, then longest.

    The result equals that of ``transformers.tokenization_utils.Trie.split``, whose one oddity
    shows only where a word lies inside another: see ``_stale_matches``.
    """
    ordered = sorted({word for word in words if word}, key=len, reverse=True)
    alternatives = [re.escape(word) for word in ordered] + _stale_matches(ordered)
    return re.compile("(" + "|".join(alternatives or ["(?!)"]) + ")", re.DOTALL)


def _stale_matches(words: list[str]) -> list[str]:
    """Return patterns for the runs that the trie of transformers cuts out by mistake.

    When a word ends inside a longer candidate that dies at that very character, the trie has not
    dropped the dead candidate yet and resumes it one character further: with ``abX`` and ``b``,
    the text ``ab?X`` is one run. The run is no token, so it is encoded as text.
    """
    patterns = {}
    for word in words:
        found = ((word.find(inner), len(inner)) for inner in words if inner in word)
        end, start = min((start + length, start) for start, length in found)
        if end == len(word) or start == 0:
            continue
        prefix = word[:end]
        rests = [other[end:] for other in words if other.startswith(prefix)]
        heads = "".join(re.escape(rest[0]) for rest in rests)
        tails = "|".join(re.escape(rest) for rest in rests)
        patterns[prefix] = f"{re.escape(prefix)}[^{heads}](?:{tails})"
    return list(patterns.values())
