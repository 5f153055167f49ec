"""Asks about a video that is given as its frames, one image file each, in the order of their names.

Usage: python examples/video.py CHECKPOINT FOLDER [QUESTION]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from internvl_native import AutoModel, AutoTokenizer, load_image

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("folder", type=Path)
    parser.add_argument("question", nargs="?", default="What happens in this video?")
    parser.add_argument("--num-segments", type=int, default=8, help="frames to look at")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    arguments = parser.parse_args()

    files = sorted(f for f in arguments.folder.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        parser.error(f"{arguments.folder} has no frames ({', '.join(sorted(SUFFIXES))})")
    # The middle of each of num_segments equal stretches.
    count = min(arguments.num_segments, len(files))
    frames = [files[int((i + 0.5) * len(files) / count)] for i in range(count)]
    tiles = [load_image(frame, max_num=1, return_tensors="np") for frame in frames]

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    prefix = "".join(f"Frame{i}: <image>\n" for i in range(1, count + 1))
    answer = model.chat(
        tokenizer,
        np.concatenate(tiles),
        prefix + arguments.question,
        {"max_new_tokens": arguments.max_new_tokens},
        num_patches_list=[len(frame) for frame in tiles],
    )
    print(answer)


if __name__ == "__main__":
    main()
