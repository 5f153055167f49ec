"""Too little memory, signals at any moment, forks during a call, streams that break: each time a
clear error, and a model that goes on as before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA
from tests.support.sanitizer import SANITIZED

CHECKPOINT = DATA / "ckpt_rmsnorm"
SETUP = f"""
import os, random, resource, signal, sys, threading, time
import numpy as np
from internvl_native import AutoModel, AutoTokenizer, load_image
checkpoint, image = {str(CHECKPOINT)!r}, {str(DATA / "images" / "land.jpg")!r}

def load():
    return AutoModel.from_pretrained(checkpoint, torch_dtype="float32")

def preprocess():
    return load_image(image, input_size=112, max_num=12, return_tensors="np")

def chat():
    return model.chat(tokenizer, pixels, "Describe the picture.", dict(max_new_tokens=8))

tokenizer = AutoTokenizer.from_pretrained(checkpoint)
model, pixels = load(), preprocess()
model.prefix_cache.max_bytes = 0  # every call computes
answer = chat()

def remembering_chat():
    model.prefix_cache.max_bytes = random.choice([0, 200_000, 1 << 30])
    return chat()
"""


def run_script(code: str, *arguments: str, timeout: float = 100, leaks: bool = False) -> list[str]:
    """The lines that a script prints after SETUP; whatever hangs, dies or leaks fails."""
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + (":detect_leaks=0" if leaks else "")
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SETUP + code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"ASAN_OPTIONS": sanitizer},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


# Each line is one thing to run with ever more memory, until it works.
NEEDS_MEMORY = {
    "load": "load()",
    "huge image": "load_image(np.zeros((4000, 6000, 3), np.uint8), max_num=40, "
    "return_tensors='np')",
    "many tiles": "model.extract_feature(np.zeros((200, 3, 112, 112), np.float32))",
    "long prompt": "model.generate(input_ids=np.full((8, 1000), 5), max_new_tokens=1)",
    "many beams": "model.generate(input_ids=[[5]], num_beams=256, max_new_tokens=4)",
    "chat": "chat_about_much()",
    "remembering chat": "model.prefix_cache.max_bytes = 1 << 30; chat_about_much()",
}
LOW_MEMORY = """
from internvl_native import CheckpointError
unlimited = resource.getrlimit(resource.RLIMIT_AS)

def size():
    return int(open("/proc/self/statm").read().split()[0]) * 4096

def chat_about_much():  # which does not fit into what the first answer has left behind
    model.chat(tokenizer, np.tile(pixels, (8, 1, 1, 1)), "Describe them.", dict(max_new_tokens=8))

for step in range(200):
    extra = int(2 ** (step / 2) * 4096)
    resource.setrlimit(resource.RLIMIT_AS, (size() + extra, unlimited[1]))
    try:
        exec(sys.argv[1])
        break
    except MemoryError:
        pass
    except CheckpointError as error:
        assert "Cannot allocate memory" in str(error), error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
assert chat() == answer
print("refused", step, "times")
"""


@pytest.mark.skipif(SANITIZED, reason="the sanitizer's shadow memory takes all addresses")
@pytest.mark.parametrize("code", NEEDS_MEMORY.values(), ids=NEEDS_MEMORY.keys())
def test_low_memory(code: str) -> None:
    """MemoryError, or CheckpointError for a file that cannot be mapped, until there is enough."""
    (line,) = run_script(LOW_MEMORY, code)
    assert line.startswith("refused")
    assert int(line.split()[1]) > 3


@pytest.mark.skipif(SANITIZED, reason="the sanitizer's shadow memory takes all addresses")
def test_too_little_memory_for_threads() -> None:
    """Room for the stacks of four threads and a half: those that have started end again."""
    lines = run_script(
        """
from internvl_native import set_num_threads
size = int(open("/proc/self/statm").read().split()[0]) * 4096
stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
if stack == resource.RLIM_INFINITY:
    stack = 2 << 20  # glibc's choice
unlimited = resource.getrlimit(resource.RLIMIT_AS)
set_num_threads(9)
resource.setrlimit(resource.RLIMIT_AS, (size + stack * 9 // 2, unlimited[1]))
try:
    preprocess()
except RuntimeError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, unlimited)
print((preprocess() == pixels).all(), chat() == answer)
"""
    )
    assert lines[0].startswith("cannot start 9 threads")
    assert lines[1:] == ["True True"]


def test_calls_import_nothing() -> None:
    """A child would wait for ever for a module that another thread was importing at the fork."""
    lines = run_script(
        """
known = set(sys.modules)
model.prefix_cache.max_bytes = 1 << 30
assert chat() == chat() == answer
print(sorted(set(sys.modules) - known))
"""
    )
    assert lines == ["[]"]


INTERRUPTED = """
random.seed(sys.argv[2])
# An interrupt by a timer that fires in this process only; SIGINT has this handler, too.
signal.signal(signal.SIGALRM, signal.default_int_handler)
call = eval("lambda: " + sys.argv[1])
start = time.monotonic()
call()
duration = time.monotonic() - start
interrupted, files, threads = 0, len(os.listdir("/proc/self/fd")), threading.active_count()
for _ in range(40):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, duration))
        call()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
assert chat() == answer
assert (preprocess() == pixels).all()
assert len(os.listdir("/proc/self/fd")) == files
assert threading.active_count() == threads
print("interrupted", interrupted)
"""


@pytest.mark.parametrize("code", ["load()", "preprocess()", "chat()", "remembering_chat()"])
def test_interrupts_at_any_moment(code: str) -> None:
    """KeyboardInterrupt and nothing else; what was computed with before is as it was."""
    (line,) = run_script(INTERRUPTED, code, "1")
    assert int(line.split()[1]) > 5


@pytest.mark.skipif(SANITIZED, reason="libasan's locks may be held by other threads at a fork")
@pytest.mark.parametrize("chat", ["chat", "remembering_chat"])
def test_fork_during_calls(chat: str) -> None:
    """Children forked while threads compute work, too, and so does their parent."""
    lines = run_script(
        """
ask = globals()[sys.argv[1]]
stop = threading.Event()
def work(call, expected):
    while not stop.is_set():
        assert np.array_equal(call(), expected)
threads = [threading.Thread(target=work, args=pair)
           for pair in ((ask, answer), (preprocess, pixels))]
for thread in threads:
    thread.start()
for _ in range(12):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        same = ask() == answer and (preprocess() == pixels).all() and load() is not None
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
print(ask() == answer)
""",
        chat,
    )
    assert lines == ["True"]


@pytest.mark.parametrize(
    "code",
    ["load()", "preprocess()", "chat()", "watched_chat()", "tokenizer('Describe it. ' * 9999)"],
)
def test_daemon_threads_at_the_end(code: str) -> None:
    """A program that ends while they compute ends as it says: nothing aborts it. What they hold
    then, nobody gives back.
    """
    lines = run_script(
        """
class Watch:
    def put(self, value):
        time.sleep(0)
    def end(self):
        pass

def watched_chat():
    model.chat(tokenizer, pixels, "Describe the picture.", dict(
        min_new_tokens=50, max_new_tokens=50, streamer=Watch(),
        logits_processor=[lambda ids, scores: scores]))

def work():
    while True:
        eval(sys.argv[1])
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
print("over")
""",
        code,
        leaks=True,
    )
    assert lines == ["over"]


def test_parts_outlive_their_model(models: Any, tokenizer: Any) -> None:
    """A view keeps what it needs; without views, nothing keeps a model."""
    import internvl_native

    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype="float32")
    pixels = np.ones((1, 3, 112, 112), np.float32)
    vision, expected = model.vision_model, model.vision_model(pixels)
    answers: list[str] = []
    config = {"max_new_tokens": 20, "min_new_tokens": 20}
    thread = Thread(
        target=lambda chat: answers.append(chat(tokenizer, pixels, "Hi", config)),
        args=(model.chat,),
    )
    thread.start()
    gone = weakref.ref(model)
    del model
    thread.join()
    del thread
    gc.collect()
    assert gone() is None
    assert len(answers) == 1
    again = vision(pixels)
    np.testing.assert_array_equal(again.last_hidden_state, expected.last_hidden_state)


class BrokenPipe:
    """A stream whose reader goes away after a few tokens."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens
        self.ends = 0

    def put(self, value: Any) -> None:
        if self.left == 0:
            raise BrokenPipeError("the reader is gone")
        self.left -= 1

    def end(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_broken_streams(fast_model: Any, tokenizer: Any, tokens: int) -> None:
    """The stream's own error comes out, it is ended once, and the model goes on."""
    config = {"max_new_tokens": 9, "min_new_tokens": 9}
    expected = fast_model.chat(tokenizer, None, "Hi", dict(config))
    stream = BrokenPipe(tokens)
    history: list[Any] = []
    with pytest.raises(BrokenPipeError, match="the reader is gone"):
        fast_model.chat(tokenizer, None, "Hi", {**config, "streamer": stream}, history=history)
    assert stream.ends == 1
    assert history == []
    assert fast_model.chat(tokenizer, None, "Hi", dict(config)) == expected
