"""`internvl-native chat` with a question: the answers of the Python API, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from tests.support.command_line import COMMAND, interrupt, run
from tests.support.goldens import DATA

import internvl_native
from internvl_native import AutoModel, AutoTokenizer, load_image

CHECKPOINT = DATA / "ckpt_layernorm"
PORT, LAND = (DATA / "images" / name for name in ("port.jpg", "land.jpg"))
SHORT = ["--max-new-tokens", 8, "--max-num", 2]


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModel.from_pretrained(CHECKPOINT, torch_dtype="auto")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def answer(*arguments: object, **options: Any) -> str:
    done = run("chat", CHECKPOINT, *arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_about_an_image(model: Any, tokenizer: Any) -> None:
    pixel_values = load_image(PORT, max_num=2, return_tensors="np")
    expected = model.chat(tokenizer, pixel_values, "What?", {"max_new_tokens": 8})
    assert answer(*SHORT, "--image", PORT, "What?") == expected + "\n"


def test_about_two_images(model: Any, tokenizer: Any) -> None:
    images = [load_image(image, max_num=2, return_tensors="np") for image in (PORT, LAND)]
    expected = model.chat(
        tokenizer,
        np.concatenate(images),
        "Image-1: <image>\nImage-2: <image>\nWhich?",
        {"max_new_tokens": 8},
        num_patches_list=[len(image) for image in images],
    )
    arguments = ["--image", PORT, "--image", LAND, *SHORT]
    assert answer("Which?", *arguments) == expected + "\n"
    placed = "Image-1: <image>\nImage-2: <image>\nWhich?"
    assert answer(placed, *arguments) == expected + "\n"


def test_the_question_is_piped_in(model: Any, tokenizer: Any) -> None:
    expected = model.chat(tokenizer, None, "你好!", {"max_new_tokens": 8})
    assert answer(*SHORT, stdin="你好!\n") == expected + "\n"


def test_system_message_and_dtype(tokenizer: Any) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="float32")
    model.system_message = "Be brief."
    expected = model.chat(tokenizer, None, "Hello", {"max_new_tokens": 8})
    assert answer(*SHORT, "--dtype", "float32", "--system", "Be brief.", "Hello") == expected + "\n"


def test_sampling(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"max_new_tokens": 8, "do_sample": True, "temperature": 5.0, "top_k": 40}
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # the command line does not load it
    internvl_native.manual_seed(3)
    expected = model.chat(tokenizer, None, "Hello", dict(options))
    arguments = [*SHORT, "--temperature", 5, "--top-k", 40, "--threads", 1, "Hello"]
    assert answer(*arguments, "--seed", 3) == expected + "\n"
    assert answer(*arguments, "--seed", 4) != expected + "\n"


def test_beam_search(model: Any, tokenizer: Any) -> None:
    expected = model.chat(tokenizer, None, "Hello", {"max_new_tokens": 8, "num_beams": 2})
    assert answer(*SHORT, "--num-beams", 2, "Hello") == expected + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a QUESTION, got nothing on stdin"),
        (["--temperature", "hot", "Hello"], "expected a number of at least 0, got 'hot'"),
        (["--max-num", "0", "Hello"], "expected an integer from 1 to 1024, got '0'"),
        (["--top-p", "1.5", "Hello"], "expected a number from 0 to 1, got '1.5'"),
        (["--dtype", "int8", "Hello"], "int8"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    done = run("chat", CHECKPOINT, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "prt.jpg"], "prt.jpg: No such file or directory; did you mean 'port.jpg'?"),
        (["--image", "."], ".: Is a directory"),
        (["--image", "../MANIFEST.md"], "cannot identify image file '../MANIFEST.md'"),
        (
            ["--image", "http://127.0.0.1:9/x.jpg"],
            "http://127.0.0.1:9/x.jpg: [Errno 111] Connection refused",
        ),
        (
            ["--image", "port.jpg", "<image> or <image>?"],
            "question: expected an <image> for each new image, 1 in all, got 2",
        ),
    ],
)
def test_failures_are_one_line(arguments: list[str], message: str) -> None:
    question = [] if "<image>" in arguments[-1] else ["What?"]
    done = run("chat", CHECKPOINT, *arguments, *question, cwd=DATA / "images")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"internvl-native chat: {message}\n"


def test_mistyped_checkpoint() -> None:
    done = run("chat", "ckpt_layrnorm", "Hello", cwd=DATA)
    assert done.returncode == 1
    assert "did you mean 'ckpt_layernorm'?" in done.stderr


def test_debug_shows_the_traceback() -> None:
    done = run("chat", "--debug", CHECKPOINT, "--image", "none.jpg", "What?")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FileNotFoundError" in done.stderr


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "chat", str(CHECKPOINT), "--max-new-tokens", "8", "Hello"],
        stdout=writer, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_interrupt() -> None:
    # A penalty below 1 rewards repetition: the answer would take hours.
    endless = ["--max-new-tokens", 1000000, "--repetition-penalty", 0.1]
    done = interrupt("chat", CHECKPOINT, *endless, "Hello")
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
