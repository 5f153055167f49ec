"""What calls leave for later ones: the features of tiles, the keys and values of prompts.

The engine's results do not depend on what is computed beside a row or in which pieces, so what was
computed for the same input by the same weights is what would be computed again, bit for bit.
"""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

from internvl_native import _core, arguments
from internvl_native.prefix_store import PrefixStore


class PrefixCache:
    """``model.prefix_cache``: image features, keys and values that are kept for the next calls.

    ``chat``, ``batch_chat`` and ``generate`` compute only what comes after the longest beginning
    that a prompt has in common with an earlier prompt and its answer, and encode only tiles that
    are not known: the second turn of a conversation costs its new tokens. What is the same is
    decided by content (token ids; pixels and their dtype). No result depends on it, not by a bit.

    It is empty again after the weights change (dtype, adapters). These calls compute everything and
    leave nothing: inside ``model.taps(...)``, with ``output_hidden_states`` or ``visual_features``,
    and of contrastive search. With ``rope_scaling`` "dynamic", keys depend on the length of their
    sequence once it passes ``max_position_embeddings``: nothing is reused there.

    Attributes:
        computed_tiles: tiles that were encoded. All four count since the model was loaded, without
            the calls that leave nothing; of calls at the same moment, one may be missing.
        reused_tiles: tiles that were known, or not needed behind a known beginning.
        computed_tokens: tokens of prompts that went through the decoder.
        reused_tokens: tokens of prompts whose keys and values were there.
    """

    def __init__(self) -> None:
        # With the engine as key, nothing outlives the weights that computed it.
        self._stores: WeakKeyDictionary[_core.InternVL, PrefixStore] = WeakKeyDictionary()
        self._max_bytes = _default_bytes()
        self.computed_tiles = self.reused_tiles = 0
        self.computed_tokens = self.reused_tokens = 0

    @property
    def max_bytes(self) -> int:
        """Bytes that are kept at most; what has not been used for longest goes first. Unless set,
        1 GiB, or a 16th of a smaller machine's memory. 0 turns it off. ValueError for less,
        TypeError for no integer."""
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, value: int) -> None:
        number = arguments.integer("max_bytes", value)
        if number < 0:
            raise ValueError(f"max_bytes: expected bytes to keep, or 0 for none, got {number}")
        self._max_bytes = number
        self.drop_oldest()

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now; memory that sequences share counts once."""
        return sum(store.nbytes for store in self._all())

    def clear(self) -> None:
        """Drops everything that is kept."""
        for store in self._all():
            store.drop_oldest(0)

    def drop_oldest(self) -> None:
        """Keeps what was used last, as much as may be kept: after whatever was added."""
        for store in self._all():
            store.drop_oldest(self._max_bytes)

    def store(self, core: _core.InternVL) -> PrefixStore:
        """What is kept of an engine."""
        return self._stores.setdefault(core, PrefixStore())

    def _all(self) -> list[PrefixStore]:
        cores = (reference() for reference in self._stores.keyrefs())
        return [self.store(core) for core in cores if core is not None]

    def __repr__(self) -> str:
        return (
            f"PrefixCache(max_bytes={self.max_bytes}, nbytes={self.nbytes}, "
            f"computed_tiles={self.computed_tiles}, reused_tiles={self.reused_tiles}, "
            f"computed_tokens={self.computed_tokens}, reused_tokens={self.reused_tokens})"
        )


def _default_bytes() -> int:
    """1 GiB where the weights of a small model leave most of the memory, less elsewhere."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(1 << 30, memory // 16)
