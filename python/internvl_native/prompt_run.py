"""The prompts of one call of ``generate``, of which the engine computes what no call before did."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arrays
from internvl_native.decoder_inputs import DecoderInputs, generation_positions
from internvl_native.prefix_cache import PrefixCache
from internvl_native.prefix_store import Content

_DIGEST_WORDS = 4  # of 8 bytes


class PromptRun:
    """Prompts behind what a cache has of them. Opened once, and kept when the answers are there.

    Args:
        inputs: the tokens, without features.
        mask: (batch, length), 0 for padding.
        image_token: the id that features stand for.
        pixel_values: (tiles, 3, S, S) of any float dtype, or None.
    """

    def __init__(
        self,
        cache: PrefixCache,
        inputs: DecoderInputs,
        mask: npt.NDArray[np.uint8],
        image_token: int,
        pixel_values: Any,
    ) -> None:
        self._cache = cache
        self._inputs = inputs
        self._mask = mask
        self._image_token = image_token
        self._pixel_values = pixel_values
        self._core: _core.InternVL | None = None
        self._session: _core.ChatSession | None = None
        self._contents: list[Content] = []  # of each prompt, without padding

    def open(self, core: _core.InternVL) -> _core.ChatSession:
        """The engine's run of what the cache lacks.

        Raises ValueError where the tiles and the image tokens do not agree.
        """
        inputs, tiles, seen = self._inputs, None, self._mask == 1
        rows, contents = inputs.embedding_rows, _contents(inputs.ids)
        if self._pixel_values is not None:
            tiles = _Tiles(core, self._pixel_values)
            rows = inputs.feature_rows(len(tiles.digests) * tiles.rows, self._image_token)
            contents[rows >= 0] = tiles.contents(rows[rows >= 0])
        self._contents = [content[own] for content, own in zip(contents, seen)]
        stored = [self._longest_prefix(core, content) for content in self._contents]

        new = seen.copy()
        for own, prefix in zip(new, stored):
            own[np.flatnonzero(own)[: prefix.length if prefix else 0]] = False
        computed, reused = np.count_nonzero(new), np.count_nonzero(seen & ~new)
        self._cache.computed_tokens += int(computed)
        self._cache.reused_tokens += int(reused)
        if tiles is not None:
            new[:, -1] = True  # its logits are asked for even where it is masked,
            new[~seen.any(axis=1)] = True  # and where all are, they depend on all
            inputs = self._with_features(core, np.where(new, rows, -1), tiles)
        session = inputs.session(core, self._mask, generation_positions(self._mask), [])
        for row, prefix in enumerate(stored):
            if prefix is not None:
                session.reuse(row, prefix)
        self._core, self._session = core, session
        return session

    def keep(self) -> None:
        """Leaves the prompts and the first answer to each in the cache; nothing if not opened."""
        if self._core is None or self._session is None:
            return
        unscaled = self._core.unscaled_length - self._mask.shape[1]
        if unscaled < 0:
            return
        store = self._cache.store(self._core)
        answers = self._session.batch_size() // len(self._contents)
        for prompt, content in enumerate(self._contents):
            row = prompt * answers
            ids = np.asarray(self._session.appended(row)[:unscaled], np.int64)
            whole = np.concatenate([content, _contents(ids)])
            store.add_sequence(whole, self._session.sequence(row), self._cache.max_bytes)
        self._cache.drop_oldest()

    def _longest_prefix(self, core: _core.InternVL, content: Content) -> _core.SequenceCache | None:
        # Keys of longer sequences depend on the length, see rope.h.
        if self._mask.shape[1] > core.unscaled_length:
            return None
        # The last token is computed in any case, for its logits.
        return self._cache.store(core).longest_prefix(content[:-1])

    def _with_features(
        self, core: _core.InternVL, rows: npt.NDArray[np.int32], tiles: _Tiles
    ) -> DecoderInputs:
        """With the features that ``rows`` asks for: (batch, length) rows of all tiles, or -1."""
        store = self._cache.store(core)
        needed = np.flatnonzero(np.bincount(rows[rows >= 0] // tiles.rows))
        digests = [tiles.digests[tile] for tile in needed]
        known = ((digest, store.tile(digest)) for digest in digests)
        features = {digest: tile for digest, tile in known if tile is not None}
        missing = [digest for digest in dict.fromkeys(digests) if digest not in features]
        if missing:
            encoded = core.extract_feature(tiles.pixels_of(missing), tiles.dtype)
            new = {digest: tile.copy() for digest, tile in zip(missing, encoded)}
            features.update(new)
            store.add_tiles(new)
            self._cache.drop_oldest()
        self._cache.computed_tiles += len(missing)
        self._cache.reused_tiles += len(tiles.digests) - len(missing)
        place = np.full(len(tiles.digests), -1)
        place[needed] = np.arange(len(needed))
        placed = np.where(rows < 0, -1, place[rows // tiles.rows] * tiles.rows + rows % tiles.rows)
        embeddings = [self._inputs.embeddings, *(features[digest] for digest in digests)]
        return DecoderInputs(self._inputs.ids, placed.astype(np.int32), np.concatenate(embeddings))


class _Tiles:
    """Pixels of tiles, and what tells these from each other.

    Attributes:
        pixels, dtype: as of ``arrays.pixel_array``.
        rows: features of a tile.
        digests: of the content of each tile, its shape and dtype included.
    """

    def __init__(self, core: _core.InternVL, pixel_values: Any) -> None:
        self.pixels, self.dtype = arrays.pixel_array(pixel_values)
        self.rows = core.tokens_per_tile(self.pixels, self.dtype)
        kind = f"{self.dtype} {self.pixels.shape[1:]}".encode()
        self.digests = []
        for tile in self.pixels:
            digest = hashlib.blake2b(kind, digest_size=8 * _DIGEST_WORDS)
            digest.update(tile.data)
            self.digests.append(digest.digest())

    def pixels_of(self, digests: list[bytes]) -> npt.NDArray[Any]:
        """Of tiles with these digests; without a copy where these are all of them."""
        if digests == self.digests:
            return self.pixels
        return self.pixels[[self.digests.index(digest) for digest in digests]]

    def contents(self, rows: npt.NDArray[np.int32]) -> Content:
        """What stands for these rows of all tiles: ~row of the tile, and the tile's digest."""
        words = np.frombuffer(b"".join(self.digests), np.int64).reshape(-1, _DIGEST_WORDS)
        return np.column_stack([~(rows % self.rows), words[rows // self.rows]])


def _contents(ids: npt.NDArray[np.integer[Any]]) -> Content:
    """(..., 1 + _DIGEST_WORDS): what stands for tokens is their id, and zeros."""
    contents = np.zeros((*ids.shape, 1 + _DIGEST_WORDS), np.int64)
    contents[..., 0] = ids
    return contents
