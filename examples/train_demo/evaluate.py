"""Measures the demo checkpoint on held-out samples, by the native engine:
`python -m examples.train_demo.evaluate [CHECKPOINT] [--out benchmarks/results/demo]`.

Writes accuracy.json, accuracy.md (a row for each task, and reading against the number of tiles)
and max_num.png."""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
from examples.train_demo.plots import plot_reading
from examples.train_demo.tasks import SCENES, TEXT, Page, Sample
from numpy.typing import NDArray
from tqdm import tqdm

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT

LANGUAGES = ("en", "zh")
MAX_NUMS = (1, 2, 4, 6, 12, 24, 40)
GENERATION = {"max_new_tokens": 96, "do_sample": False}


class Examinee:
    def __init__(self, checkpoint: str, dtype: str) -> None:
        self.model = AutoModel.from_pretrained(checkpoint, torch_dtype=dtype)
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.tile_size = self.model.config.force_image_size

    def tiles(self, image: Any, max_num: int, use_thumbnail: bool) -> NDArray[np.float32]:
        pixel_values: NDArray[np.float32] = load_image(
            image, self.tile_size, max_num, use_thumbnail=use_thumbnail, return_tensors="np"
        )
        return pixel_values

    def answers(self, sample: Sample, max_num: int, use_thumbnail: bool = True) -> list[str]:
        """One answer a turn."""
        tiles = [self.tiles(image, max_num, use_thumbnail) for image in sample.images]
        history, answers = None, []
        for question, _ in sample.turns:
            answer, history = self.model.chat(
                self.tokenizer,
                np.concatenate(tiles),
                question,
                GENERATION,
                history=history,
                return_history=True,
                num_patches_list=[len(t) for t in tiles],
            )
            answers.append(answer)
        return answers


def box(answer: str) -> list[int] | None:
    match = re.search(r"\[\[(\d+), (\d+), (\d+), (\d+)\]\]", answer)
    return [int(v) for v in match.groups()] if match else None


def overlap(a: list[int], b: list[int]) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def right(task: str, answer: str, expected: str) -> bool:
    """To the letter; a box has to cover half of the union with the true one."""
    if task != "grounding":
        return answer == expected
    given, true = box(answer), box(expected)
    return given is not None and true is not None and overlap(given, true) >= 0.5


def all_right(sample: Sample, answers: list[str]) -> bool:
    return all(right(sample.task, a, e) for a, (_, e) in zip(answers, sample.turns))


def task_accuracy(examinee: Examinee, number: int) -> dict[str, dict[str, float]]:
    """Per task and language, of `number` samples each, with the tiles that the task asks for."""
    table: dict[str, dict[str, float]] = {}
    for task in tqdm([*SCENES, *TEXT], desc="tasks"):
        for language in LANGUAGES:
            rng = random.Random(f"held out {task.__name__} {language}")
            samples = [task(rng, language) for _ in range(number)]
            correct = [all_right(s, examinee.answers(s, s.max_num)) for s in samples]
            table.setdefault(samples[0].task, {})[language] = sum(correct) / number
    return table


def page(rng: random.Random, language: str) -> Sample:
    """A question about a page of about twelve tiles with six lines in small type."""
    drawn = Page(rng, language, rng.randint(400, 450), rng.randint(290, 350), 6)
    return drawn.sample("small text", drawn.values(), 12)


def reading_by_tiles(examinee: Examinee, number: int) -> list[dict[str, Any]]:
    """Accuracy of reading the same pages with at most max_num tiles each."""
    rows = []
    for max_num in tqdm(MAX_NUMS, desc="max_num"):
        row: dict[str, Any] = {"max_num": max_num}
        for thumbnail in (True, False):
            correct = dict.fromkeys(LANGUAGES, 0)
            tiles = 0
            for language in LANGUAGES:
                rng = random.Random(f"held out pages {language}")
                for _ in range(number):
                    sample = page(rng, language)
                    tiles += len(examinee.tiles(sample.images[0], max_num, thumbnail))
                    answers = examinee.answers(sample, max_num, thumbnail)
                    correct[language] += all_right(sample, answers)
            shares = {language: c / number for language, c in correct.items()}
            row["with thumbnail" if thumbnail else "without"] = {
                **shares, "tiles": tiles / number / len(LANGUAGES)
            }  # fmt: skip
        rows.append(row)
    return rows


def markdown(results: dict[str, Any]) -> str:
    lines = [
        f"Made by `{results['command']}`: {results['samples']} held-out samples for each task and "
        f"language, {results['pages']} pages for each language, {results['dtype']}, greedy. An "
        "answer counts if it is right to the letter (a box: overlap of at least 0.5).",
        "", "| task | English | Chinese |", "|---|---|---|",
    ]  # fmt: skip
    for task, shares in results["tasks"].items():
        lines.append(f"| {task} | {shares['en']:.0%} | {shares['zh']:.0%} |")
    lines += [
        "", "Reading one value on a page of some 425 x 320 pixels, six lines in small type:", "",
        "| `max_num` | tiles | English | Chinese | without thumbnail: English | Chinese |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results["reading"]:
        a, b = row["with thumbnail"], row["without"]
        lines.append(
            f"| {row['max_num']} | {a['tiles']:.1f} | {a['en']:.0%} | {a['zh']:.0%} "
            f"| {b['en']:.0%} | {b['zh']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", nargs="?", default=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/demo"))
    parser.add_argument("--samples", type=int, default=100, help="of each task and language")
    parser.add_argument("--pages", type=int, default=100, help="of each language, for max_num")
    parser.add_argument("--dtype", default="float32")
    a = parser.parse_args()
    examinee = Examinee(a.checkpoint, a.dtype)
    results = {
        "command": "python -m examples.train_demo.evaluate",
        "samples": a.samples,
        "pages": a.pages,
        "dtype": a.dtype,
        "tasks": task_accuracy(examinee, a.samples),
        "reading": reading_by_tiles(examinee, a.pages) if a.pages else [],
    }
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "accuracy.json").write_text(json.dumps(results, indent=1) + "\n")
    (a.out / "accuracy.md").write_text(markdown(results), encoding="utf-8")
    if a.pages:
        plot_reading(results["reading"], a.out / "max_num.png")
    print(markdown(results))


if __name__ == "__main__":
    main()
