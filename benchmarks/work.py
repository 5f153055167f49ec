"""What each part of the model has to compute and to read, whatever computes it, and wherever.

A phase is (floating-point operations, bytes of memory traffic that no implementation avoids); its
floor on a machine is the longer of the two at the machine's ceilings. `element` is the bytes of a
weight, a key and a value. Vectors, norms and activations between the products are left out, and the
head is computed for a prompt's last position only.
"""

from __future__ import annotations

from typing import NamedTuple

from .checkpoint import Shape

IMAGE_TOKENS = 256  # of a tile
TEXT_TOKENS = 64  # about what a question and the template around it take
NEW_TOKENS = 16  # of an answer
PATCHES = 1024  # of a tile
VISION_TOKENS = PATCHES + 1  # the class token
PATCH_INPUTS = 3 * 14**2


class Phase(NamedTuple):
    flops: float
    bytes: float

    def floor(self, peak: float, stream: float) -> float:
        """Seconds at `peak` operations and `stream` bytes a second."""
        return max(self.flops / peak, self.bytes / stream)


def prompt_tokens(tiles: int) -> int:
    return IMAGE_TOKENS * tiles + TEXT_TOKENS


def vision_weights(sizes: Shape) -> int:
    """Weights that a row of the vision transformer is multiplied with."""
    return sizes.vit_layers * (4 * sizes.vit_width**2 + 2 * sizes.vit_width * sizes.vit_inner)


def projector_weights(sizes: Shape) -> int:
    """Weights that a row behind the pixel shuffle is multiplied with."""
    return 4 * sizes.vit_width * sizes.width + sizes.width**2


def decoder_weights(sizes: Shape) -> int:
    """Weights that a token is multiplied with, without the head."""
    head_dim = sizes.width // sizes.heads
    qkv = sizes.width * (sizes.heads + 2 * sizes.kv_heads) * head_dim
    return sizes.layers * (qkv + sizes.width**2 + 3 * sizes.width * sizes.inner)


def cache_numbers(sizes: Shape) -> int:
    """Keys and values of one token."""
    return 2 * sizes.kv_heads * (sizes.width // sizes.heads) * sizes.layers


def vision(sizes: Shape, tiles: int, element: int) -> Phase:
    """`extract_feature`: the vision transformer, with full attention, and the projector."""
    weights = vision_weights(sizes)
    patches = sizes.vit_width * PATCH_INPUTS
    attention = 4 * VISION_TOKENS**2 * sizes.vit_width * sizes.vit_layers
    own = 2 * VISION_TOKENS * weights + 2 * PATCHES * patches + attention
    rest = projector(sizes, tiles, element)
    return Phase(tiles * own + rest.flops, element * (weights + patches) + rest.bytes)


def projector(sizes: Shape, tiles: int, element: int) -> Phase:
    """`mlp1` on the shuffled features of all tiles."""
    weights = projector_weights(sizes)
    return Phase(2 * tiles * IMAGE_TOKENS * weights, element * weights)


def prefill(sizes: Shape, tokens: int, element: int) -> Phase:
    """A prompt, whose keys and values are kept."""
    weights = decoder_weights(sizes)
    head = sizes.vocab * sizes.width
    attention = 2 * tokens**2 * sizes.width * sizes.layers  # causal: half of 4 n^2 d
    numbers = weights + head + tokens * cache_numbers(sizes)
    return Phase(2 * tokens * weights + 2 * head + attention, element * numbers)


def decode(sizes: Shape, context: int, sequences: int, element: int) -> Phase:
    """One token for each of the sequences, each behind `context` others."""
    weights = decoder_weights(sizes) + sizes.vocab * sizes.width
    attention = 4 * context * sizes.width * sizes.layers
    numbers = weights + sequences * context * cache_numbers(sizes)
    return Phase(sequences * (2 * weights + attention), element * numbers)


def load(sizes: Shape, element: int) -> Phase:
    """Every bfloat16 weight of the file is read once, and written once in its own dtype."""
    ends = 2 * sizes.vocab * sizes.width  # embeddings and head
    count = vision_weights(sizes) + projector_weights(sizes) + decoder_weights(sizes) + ends
    return Phase(0, (2 + element) * count)


def chat(sizes: Shape, tiles: int, element: int, new_tokens: int = NEW_TOKENS) -> list[Phase]:
    """A whole answer to a question about one image."""
    prompt = prompt_tokens(tiles)
    step = decode(sizes, prompt + new_tokens // 2, 1, element)
    return [
        vision(sizes, tiles, element),
        prefill(sizes, prompt, element),
        *[step] * (new_tokens - 1),
    ]
