"""`internvl-native describe`: one question about each of many images."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from internvl_native import InternVLChatModel
from internvl_native.cli import records
from internvl_native.cli.errors import error_line
from internvl_native.cli.image_files import image_files
from internvl_native.cli.images import ImageLoader, TiledImage
from internvl_native.cli.loading import load, read_config
from internvl_native.cli.options import (
    add_generation,
    add_max_num,
    add_model,
    generation_config,
    integer,
)
from internvl_native.tokenization import PreTrainedTokenizer

EXAMPLES = """\
examples:
  internvl-native describe MODEL photos/ -o out.jsonl
  internvl-native describe MODEL 'scans/**/*.png' --question "What does it say?" -o out.jsonl
  internvl-native describe MODEL a.jpg b.jpg | jq -r .answer

A record is {"file", "question", "answer", "tiles", "seconds"}, the seconds a batch's share, or
{"file", "question", "error"} for an image that cannot be read. Called again, the command goes on
where it was: it leaves out the images that have an answer to the question in the file, and tries
the others again. The exit code is 1 if there were errors.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.usage = "%(prog)s [options] MODEL IMAGE..."
    parser.description = "Asks the same question about many images; answers become JSON lines."
    parser.epilog = EXAMPLES
    add_model(parser)
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="file, folder, pattern such as '*.png', or URL"
    )
    parser.add_argument(
        "--question", default="Please describe the image shortly.", help='default: "%(default)s"'
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="JSONL file to append to, not stdout"
    )
    parser.add_argument(
        "--batch-size", type=integer(1), default=4, metavar="N",
        help="images that are answered together (default: %(default)s)",
    )  # fmt: skip
    add_max_num(parser)
    add_generation(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes a record for each image."""
    files = image_files(arguments.images)
    loader = ImageLoader(read_config(arguments.model), arguments.max_num)
    done = set()
    if arguments.output is not None:
        done = records.resume(arguments.output, files, arguments.question)
    left = [file for file in files if file not in done]
    errors = 0
    with records.open_output(arguments.output) as output:
        if left:
            describer = _Describer(loader, *load(arguments), arguments)
            errors = describer.describe(left, len(files), output)
    summary = f"{len(left) - errors} answered, {errors} failed"
    if done:
        summary += f", {len(done)} had been answered before"
    print(summary, file=sys.stderr)
    return 1 if errors else 0


class _Describer:
    def __init__(
        self,
        loader: ImageLoader,
        model: InternVLChatModel,
        tokenizer: PreTrainedTokenizer,
        arguments: argparse.Namespace,
    ) -> None:
        self.loader = loader
        self.model = model
        self.tokenizer = tokenizer
        self.question: str = arguments.question
        self.batch_size: int = arguments.batch_size
        self.generation_config = generation_config(arguments)

    def describe(self, files: list[str], total: int, output: Any) -> int:
        """Writes the records of `files`, the last ones of `total`; returns how many are errors."""
        errors = 0
        done = total - len(files)
        with tqdm(total=total, initial=done, unit="image", disable=None) as bar:
            for begin in range(0, len(files), self.batch_size):
                batch = self._batch(files[begin : begin + self.batch_size])
                records.write(output, batch)
                for record in batch:
                    if "error" in record:
                        errors += 1
                        tqdm.write(record["error"], file=sys.stderr)
                bar.update(len(batch))
        return errors

    def _batch(self, files: list[str]) -> list[records.Record]:
        """The records of these files, in their order."""
        start = time.perf_counter()
        batch: dict[str, records.Record] = {
            file: {"file": file, "question": self.question} for file in files
        }
        images = []
        for file, record in batch.items():
            try:
                images.append(self.loader.load(file))
            except (OSError, ValueError) as error:
                record["error"] = error_line(error)
        answers = self._answers(images) if images else []
        seconds = round((time.perf_counter() - start) / len(files), 3)
        for image, answer in zip(images, answers):
            batch[image.name].update(answer=answer, tiles=image.tiles, seconds=seconds)
        return list(batch.values())

    def _answers(self, images: list[TiledImage]) -> list[str]:
        return self.model.batch_chat(
            self.tokenizer,
            np.concatenate([image.pixel_values for image in images]),
            [self.question] * len(images),
            dict(self.generation_config),
            num_patches_list=[image.tiles for image in images],
        )
