"""The demo: what comes with the package sees, reads and answers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.command_line import run
from tests.support.implementation import Models, NativeImplementation

from internvl_native import (
    AutoConfig,
    AutoTokenizer,
    InternVisionModel,
    _core,
    load_image,
)
from internvl_native.demo import CHECKPOINT, CHECKPOINT_FOLDER, PICTURES, questions

GENERATION = {"max_new_tokens": 64, "do_sample": False}


ISAS = _core.cpu_isas()


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(NativeImplementation())


@pytest.fixture(
    scope="module", params=[(ISAS[0], "float32"), (ISAS[-1], "float32"), (ISAS[-1], "bfloat16")]
)
def model(models: Models, request: pytest.FixtureRequest) -> Any:
    isa, dtype = request.param
    return models(isa, CHECKPOINT_FOLDER, dtype)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def tiles(picture: Path, max_num: int = 12) -> Any:
    return load_image(picture, 112, max_num, return_tensors="np")


def test_questions() -> None:
    asked = questions()
    assert len(asked) == 10
    assert {question.language for question in asked} == {"en", "zh"}
    for question in asked:
        with Image.open(question.picture) as image:
            image.verify()


def test_answers(model: Any, tokenizer: Any) -> None:
    asked = questions()
    answers = [
        model.chat(tokenizer, tiles(question.picture), question.question, GENERATION)
        for question in asked
    ]
    right = [answer == question.answer for answer, question in zip(answers, asked)]
    assert sum(right) >= 8, list(zip(asked, answers))


def test_answers_depend_on_the_picture(model: Any, tokenizer: Any) -> None:
    """Blank paper has no phone number that could be guessed."""
    blank = load_image(Image.new("RGB", (420, 320), "white"), 112, 12, return_tensors="np")
    asked = next(question for question in questions() if question.picture.stem == "page")
    assert model.chat(tokenizer, blank, asked.question, GENERATION) != asked.answer


def test_a_conversation(model: Any, tokenizer: Any) -> None:
    pixel_values = tiles(PICTURES / "shapes.png")
    question = "What shape is blue?"
    shape, history = model.chat(
        tokenizer, pixel_values, question, GENERATION, return_history=True
    )  # fmt: skip
    place = model.chat(tokenizer, pixel_values, "Where is it?", GENERATION, history=history)
    assert (shape, place) == ("star", "top right")


def test_two_images(model: Any, tokenizer: Any) -> None:
    images = [tiles(PICTURES / "circle.png"), tiles(PICTURES / "star.png")]
    head = "Image-1: <image>\nImage-2: <image>\n"
    questions = [head + "What is in Image-1?", head + "Image-2里有什么?"]
    numbers = [len(image) for image in images]
    answers = model.batch_chat(
        tokenizer, np.concatenate(images * 2), questions, GENERATION,
        num_patches_list=[numbers, numbers],
    )  # fmt: skip
    assert answers == ["an orange circle", "一个紫色的星形"]


def test_grounding(model: Any, tokenizer: Any) -> None:
    """The box of the star covers most of the blue pixels and little else."""
    picture = PICTURES / "shapes.png"
    question = (
        "Please provide the bounding box coordinates of the region this sentence describes: "
        "<ref>blue star</ref>"
    )
    answer = model.chat(tokenizer, tiles(picture), question, GENERATION)
    box = [int(v) for v in re.findall(r"\d+", answer)]
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    y, x = np.nonzero((pixels[..., 2] > 150) & (pixels[..., 0] < 100))
    height, width = pixels.shape[:2]
    true = np.array([x.min() / width, y.min() / height, x.max() / width, y.max() / height]) * 1000
    assert np.abs(np.array(box) - true).max() < 60, answer


def test_small_text_needs_tiles(model: Any, tokenizer: Any) -> None:
    """What InternVL 1.5 introduced: the same page, unreadable as one tile."""
    pages = [question for question in questions() if question.picture.stem.startswith("page")]
    one, many = (
        sum(
            model.chat(tokenizer, tiles(q.picture, max_num), q.question, GENERATION) == q.answer
            for q in pages
        )
        for max_num in (1, 12)
    )
    assert one < many


def test_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found from anywhere and offline, by everything that loads; a folder of that name is first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert AutoConfig.from_pretrained(CHECKPOINT).force_image_size == 112
    assert AutoTokenizer.from_pretrained(CHECKPOINT).convert_tokens_to_ids("</box>") > 0
    assert InternVisionModel.from_pretrained(CHECKPOINT).config.hidden_size > 0
    mine = tmp_path / CHECKPOINT
    mine.mkdir(parents=True)
    text = (CHECKPOINT_FOLDER / "config.json").read_text(encoding="utf-8")
    (mine / "config.json").write_text(text.replace("internlm2-chat", "Hermes-2"), encoding="utf-8")
    assert AutoConfig.from_pretrained(CHECKPOINT).template == "Hermes-2"


def test_sizes() -> None:
    """What the wheel and the repository can afford."""
    total = sum(file.stat().st_size for file in CHECKPOINT_FOLDER.parent.rglob("*.*"))
    assert total < 12.5e6


def test_command() -> None:
    done = run("demo", "--threads", min(2, os.cpu_count() or 1))
    assert (done.returncode, done.stderr) == (0, "")
    right = re.search(r"(\d+) of 10 right", done.stdout)
    assert right is not None
    assert int(right[1]) >= 8
    assert (PICTURES / "page.png").as_uri() in done.stdout
