"""The InternVL repository's model worker and README, unedited, against the package's own answers.

INTERNVL_REPOSITORY names a checkout. Needed besides torch: fastapi, uvicorn and requests for the
worker; torchvision, decord and cv2 for the README's program.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.programs.cases import IMAGES
from tests.programs.running import RUN, path_with, run, works
from tests.programs.test_auto_classes import in_cache
from tests.support.goldens import DATA

import internvl_native

pytestmark = pytest.mark.skipif(
    "INTERNVL_REPOSITORY" not in os.environ, reason="INTERNVL_REPOSITORY is not set"
)
CHECKPOINT = DATA / "ckpt_layernorm"
NAME = "OpenGVLab/InternVL2_5-8B"  # what the README's program loads


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Controller(BaseHTTPRequestHandler):
    """As much of controller.py as a worker asks of it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"exist": True}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def controller() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Controller)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def worker(controller: str, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = Path(os.environ["INTERNVL_REPOSITORY"]) / "streamlit_demo" / "model_worker.py"
    address = f"http://127.0.0.1:{port}"
    command = [
        *RUN, str(script), "--host", "127.0.0.1", "--port", str(port),
        "--worker-address", address, "--controller-address", controller,
        "--model-path", str(CHECKPOINT),
    ]  # fmt: skip
    log = tmp_path / "worker.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, **path_with()}, stdout=output, stderr=output
        ) as process,
    ):
        try:
            wait_for(f"{address}/worker_get_status", process, log)
            yield address
        finally:
            process.kill()  # its heart beat is no daemon: it would outlive an interrupt


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            post(url, {})
            return
        except urllib.error.URLError:
            time.sleep(0.3)
    pytest.fail(f"the worker did not come up: {log.read_text(errors='replace')}")


def post(url: str, value: Any) -> bytes:
    request = urllib.request.Request(
        url, json.dumps(value).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return bytes(reply.read())


@needs("torch", "fastapi", "uvicorn", "requests")
def test_model_worker(worker: str) -> None:
    if not works("torchvision"):
        pytest.skip("torchvision does not work")
    image = base64.b64encode((IMAGES / "land.jpg").read_bytes()).decode()
    system, question = "You are a painter.", "What is painted?"
    parameters = {
        "prompt": [
            {"role": "system", "content": system},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": question, "image": [image]},
        ],
        "max_input_tiles": 4, "temperature": 0.0, "top_p": 0.7, "max_new_tokens": 12,
        "repetition_penalty": 1.1,
    }  # fmt: skip
    pieces = post(f"{worker}/worker_generate_stream", parameters).split(b"\0")[:-1]
    replies = [json.loads(piece) for piece in pieces]
    assert {reply["error_code"] for reply in replies} == {0}

    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    model.system_message = system
    tokenizer = internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)
    kept = ["<box>", "</box>", "<ref>", "</ref>"]
    tokenizer.additional_special_tokens = [
        token for token in tokenizer.additional_special_tokens if token not in kept
    ]
    pixel_values = internvl_native.load_image(IMAGES / "land.jpg", max_num=4)
    expected = model.chat(
        tokenizer,
        pixel_values,
        f"<image>\n{question}",
        {"max_new_tokens": 12, "do_sample": False, "repetition_penalty": 1.1},
        history=[("Hello", "Hi.")],
    )
    assert replies[-1]["text"].strip() == expected


def readme_program() -> str:
    """The README's code for chatting with a model."""
    text = (Path(os.environ["INTERNVL_REPOSITORY"]) / "README.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(next(program for program in programs if f"path = '{NAME}'" in program))


def write_video(path: Path) -> None:
    source = (
        "import cv2, sys\n"
        "frames = [cv2.imread(name) for name in sys.argv[2:]]\n"
        "frames = [cv2.resize(frame, (96, 64)) for frame in frames]\n"
        "video = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*'mp4v'), 4, (96, 64))\n"
        "for frame in frames * 4:\n    video.write(frame)\n"
        "video.release()\n"
    )
    frames = [str(IMAGES / f"frame{i}.jpg") for i in range(4)]
    subprocess.run([sys.executable, "-c", source, str(path), *frames], check=True)


@needs("torch", "cv2", "decord")
def test_readme(tmp_path: Path) -> None:
    if not works("torchvision"):
        pytest.skip("torchvision does not work")
    examples = tmp_path / "examples"
    examples.mkdir()
    shutil.copy(IMAGES / "land.jpg", examples / "image1.jpg")
    shutil.copy(IMAGES / "port.jpg", examples / "image2.jpg")
    write_video(examples / "red-panda.mp4")
    in_cache(tmp_path / "hub", NAME, CHECKPOINT)
    program = tmp_path / "readme.py"
    program.write_text(readme_program(), encoding="utf-8")
    offline = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    output = run([str(program)], tmp_path, offline).stdout

    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    tokenizer = internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)
    for pixel_values, question in (
        (None, "Hello, who are you?"),
        (
            internvl_native.load_image(IMAGES / "land.jpg"),
            "<image>\nPlease describe the image shortly.",
        ),
    ):
        expected = model.chat(tokenizer, pixel_values, question, {"max_new_tokens": 1024})
        assert f"User: {question}\nAssistant: {expected}\n" in output
    assert output.count("Assistant: ") == 13
