"""`internvl-native describe`: records, resuming, and images that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.command_line import COMMAND, environment, interrupt, run
from tests.support.goldens import DATA
from tests.support.terminal import Terminal

from internvl_native import AutoModel, AutoTokenizer, load_image

CHECKPOINT = DATA / "ckpt_layernorm"
IMAGES = DATA / "images"
SHORT = ["--max-new-tokens", 6, "--max-num", 1]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """img2.jpg and img10.jpg, a folder below with a PNG, and what is no image."""
    (tmp_path / "below").mkdir()
    shutil.copy(IMAGES / "port.jpg", tmp_path / "img10.jpg")
    shutil.copy(IMAGES / "land.jpg", tmp_path / "img2.jpg")
    shutil.copy(IMAGES / "gray.png", tmp_path / "below" / "gray.PNG")
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    return tmp_path


def test_answers_are_those_of_batch_chat() -> None:
    files = [str(IMAGES / name) for name in ("port.jpg", "land.jpg", "gray.png")]
    done = run("describe", CHECKPOINT, *files, *SHORT, "--question", "What?", "--batch-size", 2)
    assert done.returncode == 0
    assert done.stderr == "3 answered, 0 failed\n"
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="auto")
    images = [load_image(file, max_num=1, return_tensors="np") for file in files]
    expected = model.batch_chat(
        AutoTokenizer.from_pretrained(CHECKPOINT), np.concatenate(images), ["What?"] * 3,
        {"max_new_tokens": 6}, num_patches_list=[1, 1, 1],
    )  # fmt: skip
    records = lines(done.stdout)
    assert [record["file"] for record in records] == files
    assert [record["answer"] for record in records] == expected
    assert {(record["question"], record["tiles"]) for record in records} == {("What?", 1)}
    assert all(record["seconds"] > 0 for record in records)


def test_folders_and_patterns(folder: Path) -> None:
    done = run("describe", CHECKPOINT, folder, *SHORT)
    names = [os.path.relpath(record["file"], folder) for record in lines(done.stdout)]
    assert names == ["below/gray.PNG", "img2.jpg", "img10.jpg"]
    done = run("describe", CHECKPOINT, folder / "img2.jpg", folder / "*.jpg", *SHORT)
    names = [os.path.relpath(record["file"], folder) for record in lines(done.stdout)]
    assert names == ["img2.jpg", "img10.jpg"]


@pytest.mark.parametrize("name", ["*.gif", "empty"])
def test_nothing_to_describe(folder: Path, name: str) -> None:
    (folder / "empty").mkdir()
    done = run("describe", CHECKPOINT, folder / name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"internvl-native describe: {folder / name}: ")


def test_a_bad_image_does_not_end_it(folder: Path) -> None:
    files = [folder / "img2.jpg", folder / "notes.txt", folder / "img3.jpg", folder / "img10.jpg"]
    done = run("describe", CHECKPOINT, *files, *SHORT)
    assert done.returncode == 1
    records = lines(done.stdout)
    assert [record["file"] for record in records] == [str(file) for file in files]
    assert ["answer" in record for record in records] == [True, False, False, True]
    assert "cannot identify image file" in records[1]["error"]
    assert "did you mean" in records[2]["error"]
    assert records[1]["error"] in done.stderr
    assert done.stderr.endswith("2 answered, 2 failed\n")


def test_resume(folder: Path) -> None:
    output = folder / "out.jsonl"
    (folder / "img3.jpg").write_bytes(b"not yet")
    assert run("describe", CHECKPOINT, folder, *SHORT, "-o", output).returncode == 1
    complete = output.read_bytes()
    first = lines(complete.decode())
    assert len(first) == 4

    # The run was killed while it wrote the last record, and the bad image is there now.
    output.write_bytes(complete[:-10])
    shutil.copy(IMAGES / "square448.jpg", folder / "img3.jpg")
    done = run("describe", CHECKPOINT, folder, *SHORT, "-o", output)
    assert done.returncode == 0
    assert done.stderr.endswith("2 answered, 0 failed, 2 had been answered before\n")
    second = lines(output.read_text(encoding="utf-8"))
    assert second[:2] == [record for record in first[:3] if "answer" in record]
    assert [Path(record["file"]).name for record in second[2:]] == ["img3.jpg", "img10.jpg"]
    assert second[3]["answer"] == first[3]["answer"]
    assert all("answer" in record for record in second)

    # Nothing is left to do, but another question is another matter.
    before = output.read_bytes()
    done = run("describe", CHECKPOINT, folder, *SHORT, "-o", output)
    assert (done.returncode, done.stderr) == (
        0, "0 answered, 0 failed, 4 had been answered before\n",
    )  # fmt: skip
    assert output.read_bytes() == before
    other = ["--question", "Why?", "-o", output]
    assert run("describe", CHECKPOINT, folder, *SHORT, *other).returncode == 0
    assert len(lines(output.read_text(encoding="utf-8"))) == 8


def test_a_file_that_is_not_ours_is_left_alone(folder: Path) -> None:
    output = folder / "notes.txt"
    output.write_text("{}\nmine\n", encoding="utf-8")
    done = run("describe", CHECKPOINT, folder, *SHORT, "-o", output)
    assert done.returncode == 1
    assert done.stderr.startswith(f"internvl-native describe: {output}: line 1: ")
    assert output.read_text(encoding="utf-8") == "{}\nmine\n"


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    shutil.copy(os.fsencode(IMAGES / "square448.jpg"), name)
    output = tmp_path / "out.jsonl"
    for _ in range(2):
        done = run("describe", CHECKPOINT, os.fsdecode(name), *SHORT, "-o", output)
        assert done.returncode == 0
    (record,) = lines(output.read_text(encoding="utf-8"))
    assert os.fsencode(record["file"]) == name


def test_interrupted_runs_keep_what_is_done(folder: Path) -> None:
    output = folder / "out.jsonl"
    run("describe", CHECKPOINT, folder / "img2.jpg", *SHORT, "-o", output)
    before = output.read_bytes()
    # A penalty below 1 rewards repetition: the second answer would take hours.
    endless = ["--max-new-tokens", 1000000, "--repetition-penalty", 0.1]
    done = interrupt("describe", CHECKPOINT, folder, "--max-num", 1, "-o", output, *endless)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert output.read_bytes() == before


def test_progress_at_a_terminal(folder: Path) -> None:
    output = str(folder / "out.jsonl")
    options = ["--batch-size", "1", *map(str, SHORT), "-o", output]
    command = [*COMMAND, "describe", str(CHECKPOINT), str(folder), *options]
    with Terminal(command, environment()) as terminal:
        assert terminal.exit_code() == 0
    assert "| 0/3 [" in terminal.text
    assert "| 3/3 [" in terminal.text
