"""Threads, forks and Ctrl-C around one loaded model."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.goldens import DATA, read_json

CHECKPOINT = DATA / "ckpt_rmsnorm"
IMAGE = DATA / "images" / "land.jpg"
CASES = [
    case
    for case in read_json(DATA / "chat.json")["cases"]
    if case["ckpt"] == "ckpt_rmsnorm"
    and case["call"] == "chat"
    and case["images"] is None
    and "response" in case["expect"]
    and not case["generation_config"].get("do_sample")
]

SETUP = f"""
import os, signal, sys, time
from internvl_native import AutoModel, AutoTokenizer, load_image
model = AutoModel.from_pretrained({str(CHECKPOINT)!r}, torch_dtype="float32")
tokenizer = AutoTokenizer.from_pretrained({str(CHECKPOINT)!r})
image = {str(IMAGE)!r}
pixels = load_image(image, input_size=112, max_num=2, return_tensors="np")
config = dict(max_new_tokens=8)
answer = model.chat(tokenizer, pixels, "Describe the picture.", config)
"""


def run_script(code: str, timeout: float = 120) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SETUP + code],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_threads_share_a_model(fast_model: Any) -> None:
    """Each thread gets the recorded answers, whatever the others ask for meanwhile."""
    import internvl_native

    cases = [case for case in CASES if "history" not in case][:8]

    def answers(offset: int) -> list[bool]:
        tokenizer = internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)
        rotated = cases[offset:] + cases[:offset]
        return [
            fast_model.chat(tokenizer, None, case["question"], dict(case["generation_config"]))
            == case["expect"]["response"]
            for case in rotated
        ]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(answers, range(4)))
    assert len(cases) == 8
    assert all(all(result) for result in results)


def test_the_interpreter_runs_during_a_call(fast_model: Any, tokenizer: Any) -> None:
    """The GIL is free: another thread counts while a long answer is generated."""
    done = threading.Event()
    counted = 0

    def chat() -> None:
        fast_model.chat(tokenizer, None, "Tell me a story.", {"max_length": 400, "min_length": 400})
        done.set()

    thread = threading.Thread(target=chat)
    thread.start()
    while not done.wait(0.002):
        counted += 1
    thread.join()
    assert counted > 3


def test_fork_after_a_call() -> None:
    """A forked worker cuts tiles and chats; so does its parent afterwards."""
    output = run_script(
        """
from PIL import Image
from internvl_native import build_transform, dynamic_preprocess
read, write = os.pipe()
child = os.fork()
if child == 0:
    import numpy as np
    tiles = dynamic_preprocess(Image.open(image), image_size=112, max_num=2, use_thumbnail=True)
    again = np.stack([np.asarray(build_transform(112)(tile)) for tile in tiles])
    same = (again == pixels).all() and model.chat(
        tokenizer, pixels, "Describe the picture.", config) == answer
    os.write(write, b"same" if same else b"different")
    os._exit(0)
os.close(write)
assert os.waitpid(child, 0)[1] == 0
print(os.read(read, 100).decode(), model.chat(
    tokenizer, pixels, "Describe the picture.", config) == answer)
"""
    )
    assert output.split() == ["same", "True"]


def test_workers_of_multiprocessing() -> None:
    """What DataLoader does: a pool of forked workers, each computing with the model."""
    output = run_script(
        """
import multiprocessing
def work(_):
    return model.chat(tokenizer, pixels, "Describe the picture.", dict(config)) == answer
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(all(pool.map(work, range(4))))
"""
    )
    assert output.split() == ["True"]


# A program that a shell starts in the background inherits an ignored SIGINT.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def interrupted(code: str, delay: float) -> list[str]:
    """What a script prints after "started", at which it gets SIGINT `delay` seconds later."""
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN + SETUP + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.split()


def test_interrupt_stops_within_a_token() -> None:
    """SIGINT raises KeyboardInterrupt soon, ends the stream, and leaves the model usable."""
    code = """
class Stream:
    tokens = 0
    ended = False
    def put(self, value):
        self.tokens += 1
        if self.tokens == 5:
            print("started", flush=True)
    def end(self):
        self.ended = True
stream = Stream()
history = []
try:
    model.chat(tokenizer, None, "Tell me a story.", dict(
        max_new_tokens=30000, min_new_tokens=30000, streamer=stream), history=history)
except KeyboardInterrupt:
    print("interrupted", stream.ended, history, stream.tokens < 29000)
print(model.chat(tokenizer, pixels, "Describe the picture.", config) == answer)
"""
    assert interrupted(code, delay=0) == ["interrupted", "True", "[]", "True", "True"]


def test_interrupt_without_a_streamer() -> None:
    """The loop is in C++ and looks for signals by itself."""
    code = """
print("started", flush=True)
try:
    model.chat(tokenizer, None, "Hi", dict(max_new_tokens=32000, min_new_tokens=32000))
    print("finished")
except KeyboardInterrupt:
    print("interrupted")
print(model.chat(tokenizer, pixels, "Describe the picture.", config) == answer)
"""
    assert interrupted(code, delay=0.3) == ["interrupted", "True"]


def test_an_exception_from_another_thread(fast_model: Any, tokenizer: Any) -> None:
    """How func_timeout and others end a call: within a token, as in the reference's loop."""
    whole = {"max_new_tokens": 3000, "min_new_tokens": 3000}
    begin = time.monotonic()
    fast_model.chat(tokenizer, None, "Tell me a story.", dict(whole))
    duration = time.monotonic() - begin
    raised: list[BaseException] = []

    def chat() -> None:
        try:
            fast_model.chat(tokenizer, None, "Tell me a story.", dict(whole))
        except TimeoutError as error:
            raised.append(error)

    thread = threading.Thread(target=chat)
    begin = time.monotonic()
    thread.start()
    time.sleep(duration / 8)
    identity, error = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeoutError)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, error) == 1
    thread.join()
    assert len(raised) == 1
    assert time.monotonic() - begin < duration / 2
