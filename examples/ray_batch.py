"""Asks one question about every image of a folder on all machines of a Ray cluster, and writes
JSON lines or Parquet with a row for each: path, answer, and error where it cannot be read.

pip install 'internvl-native[ray]'
python examples/ray_batch.py photos --output answers --workers 4 --cpus 8

Without a cluster, Ray starts one on this machine; RAY_ADDRESS names another. Each worker loads the
model once and computes with its own CPUs.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import ray

from internvl_native import AutoModel, AutoTokenizer, load_image, set_num_threads
from internvl_native.demo import CHECKPOINT, PICTURES

SUFFIXES = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"]


class Describer:
    """Answers a batch of image files; an actor of its own on each worker."""

    def __init__(
        self, checkpoint: str, question: str, max_num: int, max_new_tokens: int, threads: int
    ) -> None:
        set_num_threads(threads)
        self.model = AutoModel.from_pretrained(checkpoint, torch_dtype="bfloat16").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.question = "<image>\n" + question
        self.max_num = max_num
        self.max_new_tokens = max_new_tokens

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """{"bytes", "path"} of files -> {"path", "answer", "error"}, one of the two empty."""
        tiles: dict[int, Any] = {}
        errors = [""] * len(batch["path"])
        answers = [""] * len(batch["path"])
        for row, data in enumerate(batch["bytes"]):
            try:
                tiles[row] = load_image(
                    data, self.model.config.force_image_size, self.max_num, return_tensors="np"
                )
            except OSError as error:
                errors[row] = str(error)
        if tiles:
            texts = self.model.batch_chat(
                self.tokenizer,
                np.concatenate(list(tiles.values())),
                [self.question] * len(tiles),
                {"max_new_tokens": self.max_new_tokens, "do_sample": False},
                num_patches_list=[len(image) for image in tiles.values()],
            )
            for row, text in zip(tiles, texts):
                answers[row] = text
        return {"path": list(batch["path"]), "answer": answers, "error": errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", default=str(PICTURES))
    parser.add_argument("--output", default="answers", help="a folder, or a URL that Ray can write")
    parser.add_argument("--format", choices=["json", "parquet"], default="json")
    parser.add_argument("--question", default="Please describe the image.")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--workers", type=int, default=2, help="copies of the model")
    parser.add_argument("--cpus", type=int, default=1, help="of each worker")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-num", type=int, default=6, help="tiles an image may become")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    images = ray.data.read_binary_files(
        arguments.folder, file_extensions=SUFFIXES, include_paths=True, num_cpus=0
    )
    answers = images.map_batches(
        Describer,
        fn_constructor_args=(
            arguments.checkpoint,
            arguments.question,
            arguments.max_num,
            arguments.max_new_tokens,
            arguments.cpus,
        ),
        batch_size=arguments.batch_size,
        compute=ray.data.ActorPoolStrategy(size=arguments.workers),
        num_cpus=arguments.cpus,
    )
    # Like reading, writing needs no CPU of its own: it goes on where the workers hold all of them.
    if arguments.format == "json":
        answers.write_json(arguments.output, force_ascii=False, ray_remote_args={"num_cpus": 0})
    else:
        answers.write_parquet(arguments.output, ray_remote_args={"num_cpus": 0})


if __name__ == "__main__":
    main()
