"""What the decoder runs on: tokens, some of which embeddings stand for, masks and positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arrays


@dataclass(frozen=True)
class DecoderInputs:
    """Tokens of a batch.

    Attributes:
        ids: (batch, length).
        embedding_rows: (batch, length), the row of ``embeddings`` that stands for the id, or -1.
        embeddings: (rows, hidden_size).
    """

    ids: npt.NDArray[np.int32]
    embedding_rows: npt.NDArray[np.int32]
    embeddings: npt.NDArray[np.float32]

    @classmethod
    def from_ids(cls, input_ids: Any, config: Any) -> DecoderInputs:
        """Token ids alone, of a language model with this config.

        Raises ValueError or TypeError for what is no (batch, length) of integers, IndexError for
        ids outside the vocabulary.
        """
        ids = arrays.integer_array(input_ids, "input_ids")
        if ids.ndim != 2:
            raise ValueError(
                f"input_ids: expected 2 dimensions (batch, length), got shape {ids.shape}"
            )
        check_ids(ids, config.vocab_size)
        none = np.empty((0, config.hidden_size), np.float32)
        return cls(ids.astype(np.int32), np.full(ids.shape, -1, np.int32), none)

    @classmethod
    def from_embeddings(cls, inputs_embeds: Any, config: Any) -> DecoderInputs:
        """(batch, length, hidden_size) floats. ValueError for anything else."""
        embeds = arrays.float_array(inputs_embeds, "inputs_embeds")
        width = config.hidden_size
        if embeds.ndim != 3 or embeds.shape[2] != width:
            raise ValueError(
                f"inputs_embeds: expected (batch, length, {width}), got shape {embeds.shape}"
            )
        rows = np.arange(embeds.shape[0] * embeds.shape[1], dtype=np.int32)
        rows = rows.reshape(embeds.shape[:2])
        return cls(np.zeros_like(rows), rows, embeds.reshape(-1, width))

    @classmethod
    def from_ids_or_embeddings(
        cls, input_ids: Any, inputs_embeds: Any, config: Any
    ) -> DecoderInputs:
        """Whichever of the two is not None. ValueError for neither and both."""
        if (input_ids is None) == (inputs_embeds is None):
            got = "neither" if input_ids is None else "both"
            raise ValueError(f"input_ids, inputs_embeds: expected one of the two, got {got}")
        if inputs_embeds is not None:
            return cls.from_embeddings(inputs_embeds, config)
        return cls.from_ids(input_ids, config)

    def with_features(self, features: Any, image_token: int) -> DecoderInputs:
        """Image features (..., hidden_size) in place of the image tokens, in order.

        Raises ValueError where they are not as many.
        """
        width = self.embeddings.shape[1]
        if features.ndim < 2 or features.shape[-1] != width:
            raise ValueError(
                f"visual_features: expected rows of {width} values, got shape {features.shape}"
            )
        features = features.reshape(-1, width)
        return DecoderInputs(self.ids, self.feature_rows(len(features), image_token), features)

    def feature_rows(self, count: int, image_token: int) -> npt.NDArray[np.int32]:
        """(batch, length): which of ``count`` image features stands for a token, or -1.

        Raises ValueError where image tokens are not as many.
        """
        images = self.ids == image_token
        wanted = np.count_nonzero(images)
        if wanted != count:
            raise ValueError(
                f"pixel_values: the images make {count} rows, but input_ids hold {wanted} "
                f"image tokens (id {image_token}); num_patches_list, the number of <image> tags, "
                "and the number and size of the tiles must agree"
            )
        rows = np.full(self.ids.shape, -1, np.int32)
        rows[images] = np.arange(wanted)
        return rows

    @property
    def shape(self) -> tuple[int, int]:
        """(batch, length)."""
        return self.ids.shape[0], self.ids.shape[1]

    def embedded(self, core: _core.InternVL) -> npt.NDArray[np.float32]:
        """(batch, length, hidden_size): the embeddings of the ids, and what stands for others."""
        rows = core.embed(self.ids.reshape(-1))
        given = self.embedding_rows.reshape(-1)
        rows[given >= 0] = self.embeddings[given[given >= 0]]
        return rows.reshape(*self.shape, -1)

    def session(
        self,
        core: _core.InternVL,
        attention_mask: npt.NDArray[np.uint8],
        position_ids: npt.NDArray[np.int32],
        recorders: list[_core.Activations],
        past: _core.BatchCache | None = None,
    ) -> _core.ChatSession:
        """The engine's run of these tokens."""
        return _core.ChatSession(
            core,
            self.ids,
            self.embedding_rows,
            self.embeddings,
            attention_mask,
            position_ids,
            past,
            recorders,
        )


def check_ids(ids: npt.NDArray[np.int64], vocab_size: int) -> None:
    """IndexError for ids outside the vocabulary."""
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise IndexError(
            f"input_ids: expected ids in [0, {vocab_size}), got {ids.min()} to {ids.max()}; "
            "is the tokenizer another checkpoint's?"
        )


def generation_positions(attention_mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Positions as ``generate`` counts them, so that padding does not matter.

    Masked tokens are at 1 (``prepare_inputs_for_generation`` of the reference).
    """
    positions = np.cumsum(attention_mask, axis=1, dtype=np.int32) - 1
    return np.where(attention_mask == 0, 1, positions).astype(np.int32)
