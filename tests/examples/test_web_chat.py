"""examples/web_chat.py in a real browser; the answers it shows are those of `chat`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.browser import STOP_BUTTON, ChatPage, chromium, open_browser
from tests.support.extras import optional
from tests.support.goldens import DATA

from internvl_native import AutoModel, AutoTokenizer, load_image

optional("gradio", "web")
optional("playwright", "test-extras")

from examples import web_chat  # noqa: E402

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="needs a browser: apt-get install chromium"),
    # gradio names a status code that starlette has renamed.
    pytest.mark.filterwarnings("ignore:'HTTP_422_UNPROCESSABLE_ENTITY' is deprecated"),
]

CHECKPOINT = DATA / "ckpt_layernorm"
IMAGES = DATA / "images"
CONFIG = {"max_new_tokens": 12}


class LongAnswers:
    """Makes the answers of a model long and slow while it is switched on."""

    def __init__(self, model: Any) -> None:
        self.on = False
        self.lengths: list[int] = []
        self._generate = model.generate

    def __call__(self, **kwargs: Any) -> Any:
        if self.on:
            kwargs["max_new_tokens"] = kwargs["min_new_tokens"] = 10**5
            kwargs["logits_processor"] = [self._wait]
        output = self._generate(**kwargs)
        self.lengths.append(output.shape[1])
        return output

    def _wait(self, input_ids: Any, scores: Any) -> Any:
        time.sleep(0.01)
        return scores


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModel.from_pretrained(CHECKPOINT, torch_dtype="float32")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture
def long_answers(model: Any, monkeypatch: pytest.MonkeyPatch) -> LongAnswers:
    long_answers = LongAnswers(model)
    monkeypatch.setattr(model, "generate", long_answers, raising=False)
    return long_answers


@pytest.fixture(scope="module")
def url(model: Any, tokenizer: Any) -> Iterator[str]:
    chat = web_chat.build_chat(model, tokenizer, max_num=2, **CONFIG)
    _, url, _ = chat.launch(prevent_thread_lock=True, quiet=True)
    yield url
    chat.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


def tiles(*names: str) -> list[Any]:
    return [load_image(IMAGES / name, max_num=2, return_tensors="np") for name in names]


def test_conversation_with_images(browser: Any, url: str, model: Any, tokenizer: Any) -> None:
    page = ChatPage(browser, url)
    page.ask("Which is larger?", [IMAGES / "land.jpg", IMAGES / "port.jpg"])
    page.wait_for_answers(1)
    page.ask("Why?")
    page.wait_for_answers(2)
    page.ask("And this?", [IMAGES / "gray.jpg"])
    answers = page.wait_for_answers(3)

    images = tiles("land.jpg", "port.jpg", "gray.jpg")
    expected = []
    history: list[Any] = []
    for question, count in [
        ("Image-1: <image>\nImage-2: <image>\nWhich is larger?", 2),
        ("Why?", 2),
        ("Image-3: <image>\nAnd this?", 3),
    ]:
        response, history = model.chat(
            tokenizer,
            np.concatenate(images[:count]),
            question,
            dict(CONFIG),
            history=history,
            num_patches_list=[len(image) for image in images[:count]],
            return_history=True,
        )
        expected.append(response)
    assert answers == expected


def test_stop_button(browser: Any, url: str, long_answers: LongAnswers) -> None:
    page = ChatPage(browser, url)
    long_answers.on = True
    page.ask("Tell me everything.")
    page.wait_for_text(20)
    page.page.click(STOP_BUTTON)
    stopped = page.wait_for_answers(1)
    assert len(long_answers.lengths) == 1
    assert long_answers.lengths[0] < 10**4
    long_answers.on = False
    page.ask("Briefly, please.")
    answers = page.wait_for_answers(2)
    assert answers[0] == stopped[0]
    assert long_answers.lengths[1] <= CONFIG["max_new_tokens"] + 1


def test_a_closed_page_ends_the_generation(
    browser: Any, url: str, long_answers: LongAnswers
) -> None:
    page = ChatPage(browser, url)
    long_answers.on = True
    page.ask("Tell me everything.")
    page.wait_for_text(20)
    page.page.close()
    end = time.monotonic() + 60
    while not long_answers.lengths and time.monotonic() < end:
        time.sleep(0.05)
    assert long_answers.lengths[0] < 10**4


def test_several_users(browser: Any, url: str, model: Any, tokenizer: Any) -> None:
    questions = ["Who are you?", "What is two plus two?", "Name a colour."]
    pages = [ChatPage(browser, url) for _ in questions]
    for page, question in zip(pages, questions):
        page.ask(question)
    answers = [page.wait_for_answers(1) for page in pages]
    assert answers == [[model.chat(tokenizer, None, q, dict(CONFIG))] for q in questions]


def test_an_unreadable_image_is_reported(browser: Any, url: str, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    page = ChatPage(browser, url)
    page.ask("What is this?", [tmp_path / "broken.png"])
    page.page.wait_for_selector("text=This image cannot be read")


def test_screenshot(tmp_path: Path) -> None:
    output = tmp_path / "web_chat.png"
    command = [sys.executable, "-m", "docs.screenshot_web_chat", "--output", str(output)]
    subprocess.run(command, check=True, cwd=DATA.parents[1], timeout=300)
    assert output.stat().st_size < 300_000
    with Image.open(output) as image:
        assert image.size == (900, 1060)
