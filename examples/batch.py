"""Asks one question about each of many images, several images at a time.

Usage: python examples/batch.py CHECKPOINT QUESTION IMAGE [IMAGE ...]
"""

from __future__ import annotations

import argparse

import numpy as np

from internvl_native import AutoModel, AutoTokenizer, load_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("question")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-num", type=int, default=6, help="tiles an image may become")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    for begin in range(0, len(arguments.images), arguments.batch_size):
        images = arguments.images[begin : begin + arguments.batch_size]
        tiles = [
            load_image(image, max_num=arguments.max_num, return_tensors="np") for image in images
        ]
        answers = model.batch_chat(
            tokenizer,
            np.concatenate(tiles),
            [f"<image>\n{arguments.question}"] * len(images),
            {"max_new_tokens": arguments.max_new_tokens},
            num_patches_list=[len(image) for image in tiles],
        )
        for image, answer in zip(images, answers):
            print(f"{image}\t{answer!r}")


if __name__ == "__main__":
    main()
