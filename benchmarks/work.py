"""What each part of the model has to compute and to read, whatever computes it.

A phase is (floating-point operations, bytes of memory traffic that no implementation avoids); its
floor on a machine is the longer of the two at the machine's ceilings.
"""

from __future__ import annotations

from typing import NamedTuple

from .checkpoint import Shape, tensors

IMAGE_TOKENS = 256  # of a tile
TEXT_TOKENS = 64  # about what a question and the template around it take
NEW_TOKENS = 16  # of an answer
PATCHES = 1025  # of a tile, the class token included


class Phase(NamedTuple):
    flops: float
    bytes: float

    def floor(self, peak: float, stream: float) -> float:
        """Seconds at `peak` operations and `stream` bytes a second."""
        return max(self.flops / peak, self.bytes / stream)


def _count(shape: str, prefix: str) -> int:
    """Weights of the linear operations whose names begin so."""
    count = 0
    for name, dims in tensors(shape):
        if name.startswith(prefix) and len(dims) == 2:
            count += dims[0] * dims[1]
    return count


def vision(shape: str, sizes: Shape, tiles: int, element: int) -> Phase:
    """`extract_feature`: the vision transformer and the projector."""
    weights = _count(shape, "vision_model.encoder.")
    patches = sizes.vit_width * 3 * 14**2
    attention = 4 * PATCHES**2 * sizes.vit_width * sizes.vit_layers
    own = 2 * PATCHES * weights + 2 * (PATCHES - 1) * patches + attention
    rest = projector(shape, tiles, element)
    return Phase(tiles * own + rest.flops, element * (weights + patches) + rest.bytes)


def projector(shape: str, tiles: int, element: int) -> Phase:
    """`mlp1` on the shuffled features of all tiles."""
    weights = _count(shape, "mlp1.")
    return Phase(2 * tiles * IMAGE_TOKENS * weights, element * weights)


def prefill(shape: str, sizes: Shape, tokens: int, element: int) -> Phase:
    """A prompt; the head for its last position only."""
    weights = _count(shape, "language_model.model.layers.")
    head = sizes.vocab * sizes.width
    attention = 2 * tokens**2 * sizes.width * sizes.layers  # causal: half of 4 n^2 d
    return Phase(2 * tokens * weights + 2 * head + attention, element * (weights + head))


def decode(shape: str, sizes: Shape, context: int, sequences: int, element: int) -> Phase:
    """One token for each of the sequences, each behind `context` others."""
    weights = _count(shape, "language_model.model.layers.") + sizes.vocab * sizes.width
    cache = 2 * context * sizes.width // sizes.heads * sizes.kv_heads * sizes.layers
    attention = 4 * context * sizes.width * sizes.layers
    flops = sequences * (2 * weights + attention)
    return Phase(flops, element * (weights + sequences * cache))


def load(shape: str, element: int) -> Phase:
    """Every bfloat16 weight of the file is read once, and written once in its own dtype."""
    count = _count(shape, "")
    return Phase(0, (2 + element) * count)


def chat(
    shape: str, sizes: Shape, tiles: int, element: int, new_tokens: int = NEW_TOKENS
) -> list[Phase]:
    """A whole answer to a question about one image."""
    prompt = tiles * IMAGE_TOKENS + TEXT_TOKENS
    step = decode(shape, sizes, prompt + new_tokens // 2, 1, element)
    return [
        vision(shape, sizes, tiles, element),
        prefill(shape, sizes, prompt, element),
        *[step] * (new_tokens - 1),
    ]
