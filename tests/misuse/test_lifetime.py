"""Calls at the wrong time: after `del`, while another runs, interrupted, in a child process."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from queue import Empty
from typing import Any, Callable

import numpy as np
import pytest
from tests.misuse.bench import CHECKPOINT, Bench, pixels

from internvl_native import AutoModel, AutoTokenizer, TextIteratorStreamer


class Interrupting:
    """A streamer that sends the process a signal at its third token."""

    def __init__(self) -> None:
        self.tokens = self.ends = 0

    def put(self, value: Any) -> None:
        self.tokens += 1
        if self.tokens == 3:
            signal.raise_signal(signal.SIGINT)

    def end(self) -> None:
        self.ends += 1


def test_an_interrupted_chat(bench: Bench) -> None:
    """KeyboardInterrupt within a token; the history is as before, the streamer has ended."""
    expected, streamer = bench.answer(), Interrupting()
    history = [("a", "b")]
    config = {"max_new_tokens": 1000, "min_new_tokens": 1000, "streamer": streamer}
    with pytest.raises(KeyboardInterrupt):
        bench.chat(generation_config=config, history=history)
    assert (streamer.tokens, streamer.ends, history) == (3, 1, [("a", "b")])
    assert bench.answer() == expected


def test_an_interrupted_batch(bench: Bench) -> None:
    histories = [[("a", "b")], None]

    def interrupt(input_ids: Any, scores: Any) -> bool:
        raise KeyboardInterrupt

    config = {"max_new_tokens": 9, "stopping_criteria": [interrupt]}
    with pytest.raises(KeyboardInterrupt):
        bench.batch(None, ["a", "b"], [[], []], history=histories, generation_config=config)
    assert histories == [[("a", "b")], None]


def test_a_signal_handler_that_raises(bench: Bench) -> None:
    """What it raises comes out of the call."""

    def too_late(number: int, frame: Any) -> None:
        raise TimeoutError("too late")

    expected = bench.answer()
    before = signal.signal(signal.SIGALRM, too_late)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError, match="too late"):
            bench.chat(generation_config={"max_new_tokens": 10**6, "min_new_tokens": 10**6})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert bench.answer() == expected


def test_a_part_after_its_model() -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    parts: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "vision_model": (model.vision_model, lambda part: part(pixels()).pooler_output),
        "mlp1": (model.mlp1, lambda part: part(np.ones((1, 512), np.float32))),
        "embeddings": (model.get_input_embeddings(), lambda part: part([[1]])),
        "language_model": (model.language_model, lambda part: part([[1, 2]]).logits),
        "parameter": (next(model.parameters()), lambda part: np.asarray(part)),
    }
    expected = {name: call(part) for name, (part, call) in parts.items()}
    del model
    gc.collect()
    for name, (part, call) in parts.items():
        np.testing.assert_array_equal(call(part), expected[name])


def test_files_that_go_while_a_model_is_used(tmp_path: Path) -> None:
    """The files are mapped: whoever deletes a folder does not break the models from it."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, folder)
    model = AutoModel.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shutil.rmtree(folder)
    config = {"max_new_tokens": 2}
    answer = model.chat(tokenizer, pixels(), "What?", dict(config))
    whole = AutoModel.from_pretrained(CHECKPOINT)
    assert answer == whole.chat(tokenizer, pixels(), "What?", dict(config))
    with pytest.raises(OSError, match="no such folder"):
        AutoModel.from_pretrained(folder)


def test_a_model_of_the_parent_in_a_child(bench: Bench) -> None:
    expected = bench.answer()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if bench.answer() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_call_inside_a_call(bench: Bench) -> None:
    """A processor or criterion may use the model that asks it."""
    expected = bench.answer()
    answers: list[str] = []

    def ask(input_ids: Any, scores: Any) -> Any:
        answers.append(bench.answer())
        return scores

    bench.options(logits_processor=[ask], min_new_tokens=2)
    assert answers == [expected] * 2


def test_a_streamer_that_nobody_reads(bench: Bench) -> None:
    """Its thread ends; the text waits for whoever comes."""
    streamer = TextIteratorStreamer(bench.tokenizer, skip_prompt=True, timeout=5)
    config = {"max_new_tokens": 5, "streamer": streamer}
    thread = threading.Thread(target=lambda: bench.chat(generation_config=config))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert "".join(streamer)


def test_a_reader_that_is_there_first() -> None:
    """The queue's own error after the timeout, and not for ever."""
    streamer = TextIteratorStreamer(AutoTokenizer.from_pretrained(CHECKPOINT), timeout=0.05)
    start = time.monotonic()
    with pytest.raises(Empty):
        next(streamer)
    assert time.monotonic() - start < 5


def test_a_dtype_is_changed_while_another_thread_chats() -> None:
    """Calls end in the dtype that they began in; none fails."""
    model = AutoModel.from_pretrained(CHECKPOINT)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    errors: list[BaseException] = []
    stop = threading.Event()

    def chat() -> None:
        while not stop.is_set():
            try:
                model.chat(tokenizer, pixels(), "What?", {"max_new_tokens": 2})
            except BaseException as error:
                errors.append(error)
                return

    thread = threading.Thread(target=chat)
    thread.start()
    for dtype in ("bfloat16", "float32", "float16", "float32"):
        model.to(dtype)
    stop.set()
    thread.join(60)
    assert errors == []
