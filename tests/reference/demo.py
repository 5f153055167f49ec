"""Compares the demo checkpoint's answers on held-out samples with the reference's.

    python -m tests.reference.demo [--samples 200] [--out benchmarks/results/demo/identity.json]

Both get the same tiles and answer greedily, in float32 and in bfloat16."""

from __future__ import annotations

import argparse
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from examples.train_demo.evaluate import GENERATION, LANGUAGES, all_right
from examples.train_demo.tasks import SCENES, TEXT, Sample
from tests.reference.torch_reference import TorchReference
from tests.support.implementation import Implementation, NativeImplementation
from tqdm import tqdm

from internvl_native import load_image
from internvl_native.demo import CHECKPOINT_FOLDER


def held_out(number: int) -> list[Sample]:
    """Samples of every task and language in turn."""
    rng = random.Random("held out for the reference")
    kinds = itertools.cycle(itertools.product([*SCENES, *TEXT], LANGUAGES))
    return [task(rng, language) for task, language in itertools.islice(kinds, number)]


def answers(impl: Implementation, dtype: str, samples: list[Sample]) -> list[list[str]]:
    """Of each sample, one a turn."""
    model = impl.load_model(CHECKPOINT_FOLDER, dtype)
    tokenizer = impl.load_tokenizer(CHECKPOINT_FOLDER)
    given = []
    for sample in tqdm(samples, desc=f"{impl.name} {dtype}"):
        tiles = [load_image(i, 112, sample.max_num, return_tensors="np") for i in sample.images]
        pixels: Any = np.concatenate(tiles)
        pixel_values = impl.bfloat16(pixels) if dtype == "bfloat16" else impl.tensor(pixels)
        history, replies = None, []
        for question, _ in sample.turns:
            reply, history = model.chat(
                tokenizer,
                pixel_values,
                question,
                dict(GENERATION),
                history=history,
                return_history=True,
                num_patches_list=[len(t) for t in tiles],
            )
            replies.append(reply)
        given.append(replies)
    return given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/demo/identity.json"))
    a = parser.parse_args()
    samples = held_out(a.samples)
    results: dict[str, Any] = {"command": "python -m tests.reference.demo", "samples": a.samples}
    reference, native = TorchReference(), NativeImplementation()
    for dtype in ("float32", "bfloat16"):
        ours, theirs = answers(native, dtype, samples), answers(reference, dtype, samples)
        results[dtype] = {
            "identical": sum(x == y for x, y in zip(ours, theirs)),
            "right": sum(map(all_right, samples, ours)),
            "right, reference": sum(map(all_right, samples, theirs)),
            "different": [
                {"task": s.task, "ours": x, "reference": y}
                for s, x, y in zip(samples, ours, theirs)
                if x != y
            ],
        }
    a.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    a.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
