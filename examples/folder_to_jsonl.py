"""Asks one question about every image of a folder, a batch at a time, and writes a line of JSON for
each: {"image": name, "answer": text}, or {"image": name, "error": text} for what cannot be read.

python examples/folder_to_jsonl.py photos --output answers.jsonl

`internvl-native describe` does this with a progress bar, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    parser.add_argument("--output", type=Path, default=Path("answers.jsonl"))
    parser.add_argument("--question", default="Please describe the image.")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-num", type=int, default=6, help="tiles an image may become")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    tile_size = model.config.force_image_size
    images = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    with arguments.output.open("w", encoding="utf-8") as output:
        for begin in range(0, len(images), arguments.batch_size):
            tiles, results = {}, {}
            for image in images[begin : begin + arguments.batch_size]:
                try:
                    tiles[image] = load_image(
                        image, tile_size, arguments.max_num, return_tensors="np"
                    )
                except OSError as error:
                    results[image] = {"error": str(error)}
            if tiles:
                answers = model.batch_chat(
                    tokenizer,
                    np.concatenate(list(tiles.values())),
                    ["<image>\n" + arguments.question] * len(tiles),
                    {"max_new_tokens": arguments.max_new_tokens, "do_sample": False},
                    num_patches_list=[len(image_tiles) for image_tiles in tiles.values()],
                )
                results.update(zip(tiles, ({"answer": answer} for answer in answers)))
            for image, result in sorted(results.items()):
                line = json.dumps({"image": image.name, **result}, ensure_ascii=False)
                output.write(line + "\n")
            output.flush()


if __name__ == "__main__":
    main()
