"""Images from URLs: of a server on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
from tests.support.command_line import run
from tests.support.goldens import DATA

from internvl_native import ImageError
from internvl_native.cli import images

CHECKPOINT = DATA / "ckpt_layernorm"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    handler = partial(QuietHandler, directory=str(DATA / "images"))
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_the_answer_is_that_about_the_file(server: str) -> None:
    arguments = ["--max-new-tokens", 8, "--max-num", 2, "What?", "--image"]
    by_url = run("chat", CHECKPOINT, *arguments, f"{server}/port.jpg")
    assert (by_url.returncode, by_url.stderr) == (0, "")
    assert by_url.stdout == run("chat", CHECKPOINT, *arguments, DATA / "images/port.jpg").stdout


def test_there_is_none(server: str) -> None:
    done = run("tiles", f"{server}/none.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"internvl-native tiles: {server}/none.jpg: File not found\n"


def test_what_is_there_is_no_image(server: str) -> None:
    done = run("tiles", f"{server}/")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"internvl-native tiles: cannot identify image file '{server}/'\n"


def test_too_much(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MAX_BYTES", 1 << 10)
    with pytest.raises(ImageError, match=r"port.jpg: expected at most 0 MiB, got more"):
        images.fetch(f"{server}/port.jpg")


def test_too_slow(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_SECONDS", -1)
    with pytest.raises(ImageError, match=r"port.jpg: expected all of it within -1 seconds"):
        images.fetch(f"{server}/port.jpg")


def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_SECONDS_WITHOUT_DATA", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.jpg"
        with pytest.raises(ImageError, match=f"{url}: timed out"):
            images.fetch(url)


def test_not_a_url() -> None:
    with pytest.raises(ImageError, match=r"^http://:"):
        images.fetch("http://:port/x.jpg")
