"""The command line: arguments and files that are wrong; one line to stderr, and an exit code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.misuse.bench import CHECKPOINT, IMAGES
from tests.support.command_line import run

from internvl_native.cli.main import FAILURE, USAGE

MODEL, IMAGE = str(CHECKPOINT), str(IMAGES / "land.jpg")

CASES: dict[str, tuple[Sequence[str], int, str]] = {
    "no command": ([], USAGE, "usage: internvl-native"),
    "a command with a typo": (["chatt"], USAGE, "no command 'chatt': did you mean 'chat'?"),
    "an unknown command": (["train"], USAGE, "no command 'train': expected chat, describe, info"),
    "an unknown option": (["--verbose"], USAGE, "unrecognized arguments: --verbose"),
    "chat without a model": (["chat"], USAGE, "required: MODEL"),
    "chat with a model that is not there": (
        ["chat", "/no/model", "Hi"], FAILURE, "'/no/model': expected the folder of a checkpoint",
    ),
    "chat with a folder of images": (
        ["chat", str(IMAGES), "Hi"], FAILURE, "config.json: cannot read the file: there is none",
    ),
    "chat about an image that is not there": (
        ["chat", MODEL, "--image", "nope.jpg", "Hi"], FAILURE, "nope.jpg: No such file",
    ),
    "chat about what is no image": (
        ["chat", MODEL, "--image", __file__, "Hi"], FAILURE, "cannot identify image file",
    ),
    "chat in an unknown dtype": (
        ["chat", MODEL, "--dtype", "int8", "Hi"], USAGE, "--dtype: invalid choice: 'int8'",
    ),
    "chat with no tiles": (
        ["chat", MODEL, "--max-num", "0", "Hi"], USAGE,
        "--max-num: expected an integer from 1 to 1024, got '0'",
    ),
    "chat with fractional tokens": (
        ["chat", MODEL, "--max-new-tokens", "1.5", "Hi"], USAGE,
        "--max-new-tokens: expected an integer of at least 1, got '1.5'",
    ),
    "chat with a temperature of text": (
        ["chat", MODEL, "--temperature", "hot", "Hi"], USAGE,
        "--temperature: expected a number of at least 0, got 'hot'",
    ),
    "chat with a temperature of NaN": (
        ["chat", MODEL, "--temperature", "nan", "Hi"], USAGE, "--temperature: expected a number",
    ),
    "chat with a probability above 1": (
        ["chat", MODEL, "--top-p", "2", "Hi"], USAGE, "--top-p: expected a number from 0 to 1",
    ),
    "chat with two questions": (
        ["chat", MODEL, "one", "two"], USAGE, "unrecognized arguments: two",
    ),
    "chat with an adapter that is not there": (
        ["chat", MODEL, "--adapter", "/no/adapter", "Hi"], FAILURE, "/no/adapter",
    ),
    "chat with no threads": (
        ["chat", MODEL, "--threads", "0", "Hi"], USAGE, "--threads: expected an integer",
    ),
    "describe without images": (["describe", MODEL, "-o", "x.jsonl"], USAGE, "required"),
    "describe in batches of nothing": (
        ["describe", MODEL, IMAGE, "--batch-size", "0"], USAGE, "--batch-size: expected an integer",
    ),
    "info of nothing": (["info"], USAGE, "required: MODEL"),
    "info of a file": (
        ["info", IMAGE], FAILURE, "land.jpg: cannot read the file",
    ),
    "tiles of nothing": (["tiles"], USAGE, "required: IMAGE"),
    "tiles of an image that is not there": (["tiles", "x.jpg"], FAILURE, "x.jpg: No such file"),
    "tiles of a folder": (["tiles", str(IMAGES)], FAILURE, "Is a directory"),
    "bench of a model that is not there": (["bench", "/no/model"], FAILURE, "/no/model"),
    "run of nothing": (["run"], USAGE, "required"),
    "run of a script that is not there": (["run", "nope.py"], USAGE, "nope.py.*No such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_misuse(case: str, tmp_path: Path) -> None:
    arguments, code, message = CASES[case]
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
