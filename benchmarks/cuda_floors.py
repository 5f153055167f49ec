"""The least time that a stage can take on a GPU, whatever computes it.

A stage multiplies and adds `flops` times and reads or writes `bytes` of the GPU's memory; its floor
is the longer of the two at the rates that a library's matrix product and a device copy reach beside
it. Weights and activations have two bytes. The prompt's head is computed for the last position
only; vectors, norms and activations between the products are left out.
"""

from __future__ import annotations

from typing import NamedTuple

from .checkpoint import Shape

ELEMENT_BYTES = 2
IMAGE_TOKENS = 256  # that a tile becomes
TEXT_TOKENS = 64  # about what a question and the template around it take
PATCHES = 1024
VISION_TOKENS = PATCHES + 1  # the class token
PATCH_INPUTS = 3 * 14**2


class Ceilings(NamedTuple):
    """What the GPU reached: operations and bytes (read and written) a second."""

    flops: float
    bytes: float


class Work(NamedTuple):
    flops: float
    bytes: float

    def floor(self, ceilings: Ceilings) -> float:
        """Seconds."""
        return max(self.flops / ceilings.flops, self.bytes / ceilings.bytes)


def prompt_tokens(tiles: int) -> int:
    return IMAGE_TOKENS * tiles + TEXT_TOKENS


def vision_weights(shape: Shape) -> int:
    """Weights that a row of the vision transformer is multiplied with."""
    layer = 4 * shape.vit_width**2 + 2 * shape.vit_width * shape.vit_inner
    return shape.vit_layers * layer


def projector_weights(shape: Shape) -> int:
    """Weights that a row behind the pixel shuffle is multiplied with."""
    return 4 * shape.vit_width * shape.width + shape.width**2


def decoder_weights(shape: Shape) -> int:
    """Weights that a token is multiplied with, without the head."""
    head_dim = shape.width // shape.heads
    qkv = shape.width * (shape.heads + 2 * shape.kv_heads) * head_dim
    return shape.layers * (qkv + shape.width**2 + 3 * shape.width * shape.inner)


def vision(shape: Shape, tiles: int) -> Work:
    """`extract_feature`: the vision transformer, with full attention, and the projector."""
    rows = 2 * VISION_TOKENS * vision_weights(shape)
    attention = 4 * VISION_TOKENS**2 * shape.vit_width * shape.vit_layers
    patches = 2 * PATCHES * PATCH_INPUTS * shape.vit_width
    projector = 2 * IMAGE_TOKENS * projector_weights(shape)
    weights = vision_weights(shape) + PATCH_INPUTS * shape.vit_width + projector_weights(shape)
    return Work(tiles * (rows + attention + patches + projector), ELEMENT_BYTES * weights)


def prefill(shape: Shape, tokens: int) -> Work:
    """A prompt through the decoder, with causal attention: half of 4 n^2 d."""
    attention = 2 * tokens**2 * shape.width * shape.layers
    head = shape.vocab * shape.width
    weights = decoder_weights(shape)
    return Work(
        2 * tokens * weights + attention + 2 * head,
        ELEMENT_BYTES * (weights + head + tokens * cache_numbers(shape)),
    )


def first_token(shape: Shape, tiles: int, ceilings: Ceilings) -> float:
    """Seconds from pixels to the first token: the vision part, then the prompt."""
    phases = (vision(shape, tiles), prefill(shape, prompt_tokens(tiles)))
    return sum(phase.floor(ceilings) for phase in phases)


def cache_numbers(shape: Shape) -> int:
    """Keys and values of one token."""
    return 2 * shape.kv_heads * (shape.width // shape.heads) * shape.layers


def decode(shape: Shape, context: int) -> Work:
    """One token behind `context` others: all weights, the head, and the cache are read."""
    weights = decoder_weights(shape) + shape.vocab * shape.width
    attention = 4 * context * shape.width * shape.layers
    numbers = weights + context * cache_numbers(shape)
    return Work(2 * weights + attention, ELEMENT_BYTES * numbers)
