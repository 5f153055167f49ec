"""A bounded memory of what one engine has computed: features of tiles, and sequences."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import _core

_MOST_SEQUENCES = 64  # all are compared with every prompt

Content = npt.NDArray[np.int64]
"""(tokens, words): rows differ where what the decoder sees of two tokens does."""


@dataclass
class _Tile:
    features: npt.NDArray[np.float32]
    used: int  # the higher, the later


@dataclass
class _Sequence:
    content: Content
    cache: _core.SequenceCache
    used: int


class PrefixStore:
    """Features of tiles by digest; keys and values of sequences by content.

    Any number of threads may use it. There is no lock, which a fork could leave locked for ever:
    each change is one operation of a dictionary.
    """

    def __init__(self) -> None:
        self._tiles: dict[bytes, _Tile] = {}
        self._sequences: dict[int, _Sequence] = {}
        self._clock = itertools.count()

    @property
    def nbytes(self) -> int:
        """Bytes of everything; pages that sequences share count once."""
        size = _Size()
        for tile in self._tiles.copy().values():
            size.add(tile)
        for sequence in self._sequences.copy().values():
            size.add(sequence)
        return size.nbytes

    def tile(self, digest: bytes) -> npt.NDArray[np.float32] | None:
        """Features of a tile, None if it is not known."""
        tile = self._tiles.get(digest)
        if tile is None:
            return None
        tile.used = next(self._clock)
        return tile.features

    def add_tiles(self, features: Mapping[bytes, npt.NDArray[np.float32]]) -> None:
        """Keeps features by digest."""
        for digest, array in features.items():
            self._tiles[digest] = _Tile(array, next(self._clock))

    def longest_prefix(self, content: Content) -> _core.SequenceCache | None:
        """As many of these tokens, from the first one, as one sequence has. None for none."""
        length, longest = 0, None
        for sequence in self._sequences.copy().values():
            shared = _shared_length(sequence.content, content)
            if shared > length:
                length, longest = shared, sequence
        if longest is None:
            return None
        longest.used = next(self._clock)
        return longest.cache.prefix(length)

    def add_sequence(self, content: Content, cache: _core.SequenceCache, max_bytes: int) -> None:
        """Keeps a sequence, or as many pages of its beginning as ``max_bytes`` hold, in place of
        sequences that begin it."""
        page_bytes = cache.page_bytes + _core.KV_PAGE_TOKENS * content.strides[0]
        room = max_bytes // page_bytes * _core.KV_PAGE_TOKENS
        if room == 0:
            return
        cache = cache.prefix(min(len(content), room))
        content = content[: cache.length].copy()  # no view, which would keep all of it
        for key, sequence in self._sequences.copy().items():
            if _shared_length(sequence.content, content) == len(sequence.content):
                self._sequences.pop(key, None)
        now = next(self._clock)
        self._sequences[now] = _Sequence(content, cache, now)
        oldest_first = sorted(self._sequences.copy().items(), key=lambda item: item[1].used)
        for key, _ in oldest_first[:-_MOST_SEQUENCES]:
            self._sequences.pop(key, None)

    def drop_oldest(self, max_bytes: int) -> None:
        """Keeps what was used last, as much as ``max_bytes`` hold."""
        size = _Size()
        kept: tuple[dict[Any, Any], ...] = (self._tiles, self._sequences)
        entries = [(kind, *item) for kind in kept for item in kind.copy().items()]
        for kind, key, entry in sorted(entries, key=lambda found: -found[2].used):
            size.add(entry)
            if size.nbytes > max_bytes:
                kind.pop(key, None)


class _Size:
    def __init__(self) -> None:
        self.nbytes = 0
        self._pages: set[int] = set()

    def add(self, entry: _Tile | _Sequence) -> None:
        if isinstance(entry, _Tile):
            self.nbytes += entry.features.nbytes
            return
        new_pages = set(entry.cache.pages) - self._pages
        self._pages |= new_pages
        self.nbytes += len(new_pages) * entry.cache.page_bytes + entry.content.nbytes


def _shared_length(one: Content, other: Content) -> int:
    length = min(len(one), len(other))
    differ = np.flatnonzero((one[:length] != other[:length]).any(axis=1))
    return int(differ[0]) if len(differ) else length
