"""`internvl-native bench`: every stage has a speed."""

from __future__ import annotations

import json

from tests.support.command_line import run
from tests.support.goldens import DATA

CHECKPOINT = DATA / "ckpt_layernorm"
QUICK = ["--runs", 1, "--max-num", 2, "--prompt-tokens", 16, "--new-tokens", 4, "--threads", 1]


def test_json() -> None:
    done = run("bench", CHECKPOINT, *QUICK, "--dtype", "float32", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert (shown["dtype"], shown["threads"], shown["runs"]) == ("float32", 1, 1)
    speeds = {name: value for name, value in shown.items() if "second" in name}
    assert len(speeds) == 5
    assert all(0 < value < 1e7 for value in speeds.values())


def test_table() -> None:
    done = run("bench", CHECKPOINT, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert rows[1:-1] == ["load", "preprocessing", "vision", "prefill", "decoding"]
