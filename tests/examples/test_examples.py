"""The programs of examples/ run as their users run them, and print what the Python API returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA

from internvl_native import AutoModel, AutoTokenizer, load_image, load_video
from internvl_native.demo import CHECKPOINT

EXAMPLES = DATA.parents[1] / "examples"
TILE = 112
IMAGES = DATA / "images"
SMALL = ("--max-num", 2, "--max-new-tokens", 6)


def run_example(name: str, *arguments: object) -> str:
    command = [sys.executable, "-X", "utf8", EXAMPLES / name, *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def tiles(name: str) -> Any:
    return load_image(IMAGES / name, TILE, max_num=2, return_tensors="np")


def test_answers() -> None:
    """Without arguments: about the pictures that come with the package."""
    description = (
        "a red circle at the top left, a blue star at the top right, "
        "a green triangle at the bottom left, a yellow square at the bottom right.\n"
    )
    assert run_example("quick_start.py") == description
    assert run_example("streaming.py") == description
    assert run_example("multi_turn.py") == (
        "User:      What shape is blue?\nAssistant: star\n"
        "User:      Where is it?\nAssistant: top right\n"
    )
    assert run_example("multi_image.py") == "a purple star\n"


def test_read_fields() -> None:
    lines = map(json.loads, run_example("ocr_confidence.py").splitlines())
    values = {line["field"]: (line["value"], line["confidence"]) for line in lines}
    assert list(values) == ["Room", "Level", "Phone"]
    assert [value for value, _ in values.values()] == ["4127", "bridge", "9065"]
    assert all(0.3 < confidence <= 1 for _, confidence in values.values())


def test_quick_start(model: Any, tokenizer: Any) -> None:
    output = run_example("quick_start.py", IMAGES / "land.jpg", "--question", "What?", *SMALL)
    answer = model.chat(tokenizer, tiles("land.jpg"), "<image>\nWhat?", {"max_new_tokens": 6})
    assert output == answer + "\n"


def test_streaming(model: Any, tokenizer: Any) -> None:
    output = run_example("streaming.py", IMAGES / "port.jpg", "--question", "What?", *SMALL)
    answer = model.chat(tokenizer, tiles("port.jpg"), "What?", {"max_new_tokens": 6})
    assert output.strip() == answer


def test_multi_turn(model: Any, tokenizer: Any) -> None:
    image = IMAGES / "land.jpg"
    output = run_example("multi_turn.py", image, "--questions", "What?", "Why?", *SMALL)
    config = {"max_new_tokens": 6}
    pixel_values = tiles("land.jpg")
    first, history = model.chat(tokenizer, pixel_values, "What?", config, return_history=True)
    second = model.chat(tokenizer, pixel_values, "Why?", config, history=history)
    turns = [("What?", first), ("Why?", second)]
    assert output == "".join(f"User:      {q}\nAssistant: {a}\n" for q, a in turns)


def test_multi_image(model: Any, tokenizer: Any) -> None:
    names = ("land.jpg", "port.jpg")
    files = [IMAGES / name for name in names]
    output = run_example("multi_image.py", *files, "--question", "Which?", *SMALL)
    images = [tiles(name) for name in names]
    answer = model.chat(
        tokenizer,
        np.concatenate(images),
        "Image-1: <image>\nImage-2: <image>\nWhich?",
        {"max_new_tokens": 6},
        num_patches_list=[len(image) for image in images],
    )
    assert output == answer + "\n"


def test_video(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.jpg").symlink_to(IMAGES / f"frame{i}.jpg")
    output = run_example("video.py", tmp_path, "--num-segments", 3, "--max-new-tokens", 6)
    pixel_values, num_patches_list = load_video(
        tmp_path, num_segments=3, max_num=1, input_size=TILE
    )
    answer = model.chat(
        tokenizer,
        pixel_values,
        "Frame1: <image>\nFrame2: <image>\nFrame3: <image>\nWhat happens in this video?",
        {"max_new_tokens": 6},
        num_patches_list=num_patches_list,
    )
    assert output == answer + "\n"


def test_folder_to_jsonl(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    names = ["gray.jpg", "land.jpg", "port.jpg"]
    for name in names:
        (tmp_path / name).symlink_to(IMAGES / name)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.txt").write_text("not an image", encoding="utf-8")
    output = tmp_path / "answers.jsonl"
    options = ("--batch-size", 3, "--question", "What?", "--output", output)
    assert run_example("folder_to_jsonl.py", tmp_path, *options, *SMALL) == ""
    results = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [result["image"] for result in results] == ["broken.jpg", *names]
    assert set(results[0]) == {"image", "error"}
    for result in results[1:]:
        pixel_values = tiles(result["image"])
        answer = model.chat(tokenizer, pixel_values, "<image>\nWhat?", {"max_new_tokens": 6})
        assert result == {"image": result["image"], "answer": answer}


def test_image_retrieval(model: Any, tmp_path: Path) -> None:
    vision = model.vision_model
    names = ["frame0.jpg", "frame1.jpg", "land.jpg", "tower.jpg"]
    for name in names:
        (tmp_path / name).symlink_to(IMAGES / name)
    output = run_example("image_retrieval.py", IMAGES / names[0], "--folder", tmp_path)
    pixel_values = [
        load_image(IMAGES / name, vision.config.image_size, max_num=1, return_tensors="np")
        for name in names
    ]
    vectors = vision(np.concatenate(pixel_values)).last_hidden_state[:, 1:].mean(axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ranking = sorted(zip(vectors @ vectors[0], names), reverse=True)
    assert ranking[0][1] == names[0]
    assert output == "".join(f"{cosine:.4f}  {name}\n" for cosine, name in ranking)
