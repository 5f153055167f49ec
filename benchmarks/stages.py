"""The stages: what is measured, how often, and what it has to do at least."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import work
from .checkpoint import SHAPES, Shape
from .work import NEW_TOKENS, Phase

ELEMENT_BYTES = {"bfloat16": 2, "float32": 4}
FULL_HD = (1920, 1080)
FULL_HD_TILES = 9  # of max_num=12, the thumbnail included
TWELVE_MEGAPIXELS = (4000, 3000)

Workload = Callable[[Shape, int], list[Phase]]


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        kind: the name that engines measure it under, with `sizes` as arguments.
        workload: its phases for a shape and the bytes of an element.
        rounds: how often each engine runs it, in turns.
    """

    name: str
    title: str
    kind: str
    sizes: tuple[int, ...]
    rounds: int
    workload: Workload = lambda sizes, element: []

    def phases(self, shape: str, dtype: str) -> list[Phase]:
        """What it has to do; empty where no floor is known."""
        return self.workload(SHAPES[shape], ELEMENT_BYTES[dtype])

    @property
    def warms_up(self) -> bool:
        """Whether a run before the first round costs little."""
        return self.rounds > 3


def _vision(tiles: int, rounds: int) -> Stage:
    return Stage(
        f"vit-{tiles}", f"`extract_feature`, {tiles} tile{'s' * (tiles > 1)}", "vision", (tiles,),
        rounds, lambda sizes, element: [work.vision(sizes, tiles, element)],
    )  # fmt: skip


def _prefill(tokens: int, rounds: int) -> Stage:
    return Stage(
        f"prefill-{tokens}", f"prefill, {tokens} tokens", "prefill", (tokens,),
        rounds, lambda sizes, element: [work.prefill(sizes, tokens, element)],
    )  # fmt: skip


def _decode(context: int) -> Stage:
    return Stage(
        f"decode-{context}", f"decoding behind {context} tokens", "decode", (context,), 15,
        lambda sizes, element: [work.decode(sizes, context, 1, element)],
    )  # fmt: skip


def _chat(tiles: int, rounds: int) -> Stage:
    return Stage(
        f"chat-{tiles}", f"`chat`, {tiles} tile{'s' * (tiles > 1)}, {NEW_TOKENS} tokens", "chat",
        (tiles,), rounds,
        lambda sizes, element: work.chat(sizes, tiles, element),
    )  # fmt: skip


def _image(name: str, size: tuple[int, int]) -> list[Stage]:
    across = f"{size[0]} x {size[1]}"
    return [
        Stage(f"jpeg-{name}", f"JPEG to RGB, {across}", "decode_jpeg", size, 21),
        Stage(f"pixels-{name}", f"RGB to pixel values, {across}", "preprocess", size, 21),
        Stage(f"image-{name}", f"JPEG to pixel values, {across}", "load_image", size, 21),
    ]


# In this order engines start late and end early: what they keep in memory adds up.
STAGES = [
    *_image("2mp", FULL_HD),
    *_image("12mp", TWELVE_MEGAPIXELS),
    Stage(
        "load", "loading from the page cache", "load", (), 3,
        lambda sizes, element: [work.load(sizes, element)],
    ),
    _vision(1, 7),
    _vision(7, 3),
    Stage(
        "projector", "projector, 7 tiles", "projector", (7,), 9,
        lambda sizes, element: [work.projector(sizes, 7, element)],
    ),
    _prefill(320, 5),
    _decode(320),
    _prefill(1856, 3),
    _decode(1856),
    Stage(
        "decode-8", "decoding 8 sequences of 64 tokens", "decode_batch", (64, 8), 15,
        lambda sizes, element: [work.decode(sizes, 64, 8, element)],
    ),
    _chat(1, 3),
    _chat(7, 3),
    Stage("second-turn", f"second turn about 7 tiles, {NEW_TOKENS} tokens", "second_turn", (7,), 3),
    Stage(
        "first-token", "JPEG to first token, 1920 x 1080", "first_token", FULL_HD, 3,
        lambda sizes, element: work.chat(sizes, FULL_HD_TILES, element, new_tokens=1),
    ),
]  # fmt: skip
BY_NAME = {stage.name: stage for stage in STAGES}
