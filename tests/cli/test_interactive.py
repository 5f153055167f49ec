"""`internvl-native chat` at a terminal: what somebody who types there sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.command_line import COMMAND, environment
from tests.support.goldens import DATA
from tests.support.terminal import Terminal

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.cli.terminal import printable

CHECKPOINT = DATA / "ckpt_layernorm"
PORT, LAND = (DATA / "images" / name for name in ("port.jpg", "land.jpg"))
SHORT = ["--max-new-tokens", "12", "--max-num", "2"]
# A penalty below 1 rewards repetition: the answer would take hours.
ENDLESS = ["--max-new-tokens", "1000000", "--repetition-penalty", "0.1"]
Start = Callable[..., Terminal]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Start:
    def start(*arguments: object, **variables: str) -> Terminal:
        command = [*COMMAND, "chat", str(CHECKPOINT), *map(str, arguments)]
        terminal = Terminal(command, environment(**variables))
        request.addfinalizer(terminal.close)
        return terminal

    return start


class Api:
    """The same conversation through the Python API."""

    def __init__(self) -> None:
        self.model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="auto")
        self.tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
        self.history: list[Any] = []
        self.tiles: list[Any] = []

    def add(self, image: Path) -> None:
        self.tiles.append(load_image(image, max_num=2, return_tensors="np"))

    def ask(self, question: str) -> str:
        answer: str
        answer, self.history = self.model.chat(
            self.tokenizer,
            np.concatenate(self.tiles) if self.tiles else None,
            question,
            {"max_new_tokens": 12},
            history=self.history,
            return_history=True,
            num_patches_list=[len(tiles) for tiles in self.tiles],
        )
        return printable(answer)


def asked(terminal: Terminal, question: str) -> str:
    """The answer that is shown."""
    terminal.type(question + "\r")
    terminal.expect("\n")  # the echo
    shown = terminal.expect("\n12 tokens, ")
    terminal.expect("> ")
    return shown


def test_turns_and_images_are_those_of_the_api(start: Start) -> None:
    api, terminal = Api(), start(*SHORT, "--image", PORT)
    greeting = terminal.expect("> ")
    assert greeting.startswith("ckpt_layernorm  bfloat16 on cpu/")
    assert f"Image-1: {PORT}, 3 tiles, 768 tokens\n" in greeting
    api.add(PORT)
    assert asked(terminal, "What is this?") == api.ask("<image>\nWhat is this?")
    assert asked(terminal, "为什么?") == api.ask("为什么?")
    terminal.type(f"/image {LAND}\r")
    added = terminal.expect("> ")
    assert f"Image-2: {LAND}, 1 tile, 256 tokens\n" in added
    assert "Image-1" not in added
    api.add(LAND)
    assert asked(terminal, "And this?") == api.ask("Image-2: <image>\nAnd this?")
    terminal.type("\x04")
    assert terminal.exit_code() == 0


def test_placed_images_system_message_and_reset(start: Start) -> None:
    api, terminal = Api(), start(*SHORT)
    terminal.expect("> ")
    terminal.type(f"/image {PORT} '{LAND}'\r")
    terminal.expect("> ")
    terminal.type("Only <image>?\r")
    terminal.expect("question: expected an <image> for each new image, 2 in all, got 1\n> ")
    terminal.type("/system Be brief.\r")
    terminal.expect("\nBe brief.\n> ")
    api.model.system_message = "Be brief."
    api.add(PORT)
    api.add(LAND)
    assert asked(terminal, "<image> or <image>?") == api.ask("<image> or <image>?")
    terminal.type("/reset\r")
    terminal.expect("> ")
    api.tiles, api.history = [], []
    assert asked(terminal, "Hello") == api.ask("Hello")
    terminal.type("/exit\r")
    assert terminal.exit_code() == 0


def test_lines_that_go_on(start: Start) -> None:
    api, terminal = Api(), start(*SHORT)
    terminal.expect("> ")
    terminal.type("One\\\r")
    terminal.expect(". ")
    assert asked(terminal, "two") == api.ask("One\ntwo")
    pasted = "\x1b[200~Three\nfour\x1b[201~"
    terminal.type(pasted)
    terminal.expect("four")
    assert asked(terminal, "") == api.ask("Three\nfour")


def test_ctrl_c_stops_the_answer_and_not_the_program(start: Start) -> None:
    terminal = start(*ENDLESS)
    terminal.expect("> ")
    # Enter, since input() notices a signal from just before it waits only at the next key.
    terminal.type("\x03\r")
    terminal.expect("Ctrl-D or /exit leaves\n> ")
    for _ in range(2):
        terminal.type("Hello\r")
        terminal.expect("Hello\n")
        terminal.expect_more(20)
        terminal.type("\x03")
        terminal.expect("\nstopped\n> ")
        # What was said until then is in the next prompt, and not every prompt's answer is endless.
        terminal.type("/reset\r")
        terminal.expect("\n> ")
    terminal.type("\x04")
    assert terminal.exit_code() == 0


def test_what_an_interrupted_answer_leaves_behind(start: Start) -> None:
    terminal = start(*ENDLESS, "--image", PORT, "--max-num", 1)
    terminal.expect("> ")
    terminal.type("Hello\r")
    terminal.expect("Hello\n")
    terminal.expect_more(20)
    terminal.type("\x03")
    terminal.expect("stopped\n> ")
    # The image has been asked about, so that it is no new one.
    terminal.type("And <image>?\r")
    terminal.expect("0 in all, got 1\n> ")


def test_mistakes_do_not_end_it(start: Start) -> None:
    terminal = start(*SHORT)
    terminal.expect("> ")
    for line, message in (
        ("/imag x", "no command /imag: did you mean /image?"),
        ("/xyz", "no command /xyz: /help lists the commands"),
        ("/image", "no images"),
        ("/image none.jpg", "none.jpg: No such file or directory"),
        (f"/image {DATA / 'images' / 'prt.jpg'}", f"did you mean '{PORT}'?"),
        (f"/image {DATA}", "Is a directory"),
        ("/image 'none", "'none: No such file or directory"),
    ):
        terminal.type(line + "\r")
        terminal.expect(message)
        terminal.expect("\n> ")
    terminal.type("\r/help\r")
    shown = terminal.expect("Ctrl-C stops")
    for command in ("/image", "/system", "/reset", "/help", "/exit"):
        assert command in shown


def test_completion(start: Start) -> None:
    terminal = start(*SHORT)
    terminal.expect("> ")
    terminal.type("/im\t")
    terminal.expect("/image ")
    terminal.type(f"{DATA}/images/squ\t\r")
    terminal.expect("Image-1: ")


def styles(terminal: Terminal) -> set[str]:
    return set(re.findall(r"\x1b\[[0-9;]*m", terminal.raw))


def test_colours(start: Start) -> None:
    with_colours, without, dumb = (
        start(*SHORT, **variables) for variables in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"})
    )
    for terminal in (with_colours, without, dumb):
        terminal.expect("> ")
        terminal.type("/nothing\r")
        terminal.expect("no command /nothing")
        terminal.expect("\n> ")  # a key that comes before its prompt may be lost
        terminal.type("\x04")
        assert terminal.exit_code() == 0
    assert {"\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"} <= styles(with_colours)
    assert styles(without) == styles(dumb) == set()


def test_one_question_at_a_terminal(start: Start) -> None:
    expected = Api().ask("Hello")
    terminal = start(*SHORT, "Hello")
    assert terminal.exit_code() == 0
    shown, summary = terminal.text.rstrip("\n").rsplit("\n", 1)
    assert shown == expected
    assert summary.startswith("12 tokens, ")
    whole = start(*SHORT, "--no-stream", "--no-stats", "Hello")
    assert whole.exit_code() == 0
    assert whole.text == expected + "\n"
