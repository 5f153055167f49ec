"""Asks one question about several images.

python examples/multi_image.py coffee.jpg cat.jpg --question "What do the images have in common?"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES

IMAGES = [PICTURES / "circle.png", PICTURES / "star.png"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("images", nargs="*", type=Path, default=IMAGES)
    parser.add_argument("--question", default="What is in Image-2?")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--max-num", type=int, default=6, help="tiles an image may become")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    tiles = [
        load_image(image, model.config.force_image_size, arguments.max_num, return_tensors="np")
        for image in arguments.images
    ]
    # Each <image> stands for the next entry of num_patches_list.
    prefix = "".join(f"Image-{i}: <image>\n" for i in range(1, len(tiles) + 1))
    answer = model.chat(
        tokenizer,
        np.concatenate(tiles),
        prefix + arguments.question,
        {"max_new_tokens": arguments.max_new_tokens, "do_sample": False},
        num_patches_list=[len(image) for image in tiles],
    )
    print(answer)


if __name__ == "__main__":
    main()
