"""Memory that images take above the weights: the peak of one prompt.

python -m benchmarks.memory                                     # the tests' small checkpoint
python -m benchmarks.memory --checkpoint build/2b --tiles 40    # made by benchmarks.checkpoint
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np

from internvl_native import AutoModel

from .machine import status_bytes

SMALL = pathlib.Path(__file__).parent.parent / "tests/data/ckpt_layernorm"


def measure(checkpoint: pathlib.Path, dtype: str, tiles: int) -> tuple[int, int]:
    """Bytes of (weights, peak above them and the pixels) for a prompt of that many tiles."""
    before = status_bytes("VmRSS")
    model = AutoModel.from_pretrained(checkpoint, torch_dtype=dtype)
    model.prefix_cache.max_bytes = 0  # equal tiles would be encoded once, and kept
    weights = status_bytes("VmRSS") - before
    size = model.config.force_image_size or model.config.vision_config.image_size
    pixel_values = np.zeros((tiles, 3, size, size), np.float32)
    pixel_values += np.random.default_rng(0).standard_normal((3, size, size), dtype=np.float32)
    loaded = status_bytes("VmRSS")
    clear_refs = pathlib.Path("/proc/self/clear_refs")
    clear_refs.write_text("5")  # the peak starts again from here
    image_token = 3
    model.img_context_token_id = image_token
    ids = np.full((1, tiles * model.num_image_token + 64), image_token)
    ids[:, tiles * model.num_image_token :] = 4
    model.generate(pixel_values=pixel_values, input_ids=ids, max_new_tokens=2, eos_token_id=-1)
    return weights, status_bytes("VmHWM") - loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=pathlib.Path, default=SMALL)
    parser.add_argument("--dtype", choices=("bfloat16", "float32", "float16"), default="bfloat16")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 13, 40])
    arguments = parser.parse_args()
    for tiles in arguments.tiles:
        weights, above = measure(arguments.checkpoint, arguments.dtype, tiles)
        print(f"{tiles:3} tiles: {above / 1e6:7.1f} MB above {weights / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    main()
