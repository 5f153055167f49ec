"""The scripts in examples/ run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "tests" / "data" / "ckpt_layernorm"
IMAGES = ROOT / "tests" / "data" / "images"


def run_example(name: str, *arguments: object, stdin: str = "") -> str:
    command = [sys.executable, ROOT / "examples" / name, *arguments]
    done = subprocess.run(
        [str(part) for part in command], input=stdin, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_demo() -> None:
    output = run_example("demo.py", "--max-new-tokens", 3)
    assert "RANDOM weights" in output
    assert (IMAGES / "land.jpg").as_uri() in output
    assert "2 tokens" in output


def test_chat_keeps_the_conversation() -> None:
    arguments = [CHECKPOINT, IMAGES / "port.jpg", IMAGES / "land.jpg", "--max-num", 1]
    first = run_example("chat.py", *arguments, "--max-new-tokens", 4, stdin="Which?\n")
    both = run_example("chat.py", *arguments, "--max-new-tokens", 4, stdin="Which?\nWhy?\n")
    assert first
    assert both.startswith(first)
    assert len(both) > len(first)


def test_chat_without_an_image() -> None:
    assert run_example("chat.py", CHECKPOINT, "--max-new-tokens", 4, stdin="Hello\n")


def test_batch() -> None:
    names = ["port.jpg", "land.jpg", "gray.jpg"]
    arguments = ["--batch-size", 2, "--max-num", 2, "--max-new-tokens", 4]
    output = run_example("batch.py", CHECKPOINT, "What?", *(IMAGES / n for n in names), *arguments)
    assert [Path(line.split("\t")[0]).name for line in output.splitlines()] == names


def test_video(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.jpg").symlink_to(IMAGES / f"frame{i}.jpg")
    (tmp_path / "notes.txt").write_text("not a frame", encoding="utf-8")
    assert run_example("video.py", CHECKPOINT, tmp_path, "--max-new-tokens", 4)


def test_streaming_equals_chat() -> None:
    image = IMAGES / "square448.jpg"
    tail = ["--max-new-tokens", 8]
    streamed = run_example("streaming.py", CHECKPOINT, image, "What?", *tail)
    assert streamed.strip()
