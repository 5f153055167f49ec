"""Activations by name, recorded while a model computes what it computes anyway."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

import numpy as np
import numpy.typing as npt

from internvl_native import _core
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.engine import Engine

_thread = threading.local()


def tap_names(config: InternVLChatConfig | InternVisionConfig) -> list[str]:
    """Everything that can be recorded, in the order in which it is computed."""
    if isinstance(config, InternVisionConfig):
        layers = range(1, config.num_hidden_layers + 1)
        return ["vit.embeddings", *(f"vit.layer{layer}" for layer in layers)]
    layers = range(1, config.llm_config.num_hidden_layers + 1)
    return [
        *tap_names(config.vision_config),
        "pixel_shuffle",
        "vit_embeds",
        "llm.inputs_embeds",
        *(f"llm.layer{layer}" for layer in layers),
        "llm.norm",
    ]


class Taps(Mapping[str, "npt.NDArray[np.float32]"]):
    """What ``with model.taps(...) as taps:`` recorded: name -> float32 array.

    ``taps["vit.layer3"]`` is (tiles, tokens, width), the tiles of all calls in order, row 0 of a
    tile its class token; ``pixel_shuffle`` and ``vit_embeds`` have ``num_image_token`` rows a tile.

    ``taps["llm.layer3"]`` is (rows, hidden_size): the sequences one after the other, of each its
    prompt's tokens without padding and then a row for each token that was fed back, which is every
    generated token but the last. :meth:`sequences` gives them one by one. A batch is decoded until
    its longest answer ends; the rows of the others go on with padding tokens until then. With
    several sequences a prompt (sampling, beams) each has the prompt's rows too; of a beam search
    these are the beams that ran last.

    Layers are counted from 1. A name is missing until the model has computed it: layers behind
    ``select_layer`` never are.
    """

    def __init__(self, engine: Engine, patterns: Iterable[str]) -> None:
        self._engine = engine
        self._activations = _core.Activations(_matching(patterns, tap_names(engine.config)))

    def __enter__(self) -> Taps:
        _active().append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _active().remove(self)

    def sequences(self, name: str) -> list[npt.NDArray[np.float32]]:
        """(tokens, width) of every tile or prompt, in the order of the calls and of their batches.

        Raises KeyError where nothing was recorded under ``name``.
        """
        sequences = self._activations.sequences(name)
        if not sequences:
            raise KeyError(name)
        return sequences

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        sequences = self.sequences(name)
        if name.startswith("llm."):
            return np.concatenate(sequences)
        if len({len(rows) for rows in sequences}) > 1:
            raise ValueError(f"{name}: the tiles differ in size: use taps.sequences({name!r})")
        return np.stack(sequences)

    def __iter__(self) -> Iterator[str]:
        return iter(self._activations.recorded())

    def __len__(self) -> int:
        return len(self._activations.recorded())

    def __repr__(self) -> str:
        return f"Taps({', '.join(self) or 'nothing recorded yet'})"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def recorders(engine: Engine) -> list[_core.Activations]:
    """Those of the blocks that this thread is in."""
    return [taps._activations for taps in _active() if taps._engine is engine]


def _active() -> list[Taps]:
    if not hasattr(_thread, "taps"):
        _thread.taps = []
    active: list[Taps] = _thread.taps
    return active


def _matching(patterns: Iterable[str], names: list[str]) -> set[str]:
    """Names that match; ValueError for a pattern that none does."""
    found: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"taps: expected names or patterns, got {pattern!r:.100}")
        matches = fnmatch.filter(names, pattern)
        if not matches:
            raise ValueError(f"taps: {pattern!r} matches none of {', '.join(names)}")
        found.update(matches)
    if not found:
        raise ValueError(f"taps: expected at least one of {', '.join(names)}")
    return found
