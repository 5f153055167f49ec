"""The gate on instruction counts, without valgrind: what it reads and what it compares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import hot_kernels, instructions

from internvl_native import _core

DUMP = """\
version: 1
desc: Timerange: Basic block 0 - 9
desc: Trigger: Client Request: {repeats} {name}

events: Ir
summary: {count}

totals: {count}
"""


def dump(name: str, repeats: int, count: int) -> str:
    return DUMP.format(name=name, repeats=repeats, count=count)


def test_counts_leave_out_what_surrounds_the_repeats() -> None:
    end = "desc: Trigger: Program termination\nsummary: 5\n"
    dumps = [dump("linear, 1 row", 3, 700), dump("linear, 1 row", 1, 300), end]
    assert instructions.of_one_run(dumps) == {"linear, 1 row": 200}


@pytest.mark.parametrize("count", [971, 1029])
def test_small_changes_pass(count: int) -> None:
    assert instructions.differences({"linear": 1000}, {"linear": count}) == []


@pytest.mark.parametrize(("count", "change"), [(969, "-3.1%"), (1031, "+3.1%")])
def test_larger_ones_do_not(count: int, change: str) -> None:
    lines = instructions.differences({"linear": 1000}, {"linear": count})
    assert lines == [f"linear: {count:,} instead of 1,000 ({change})"]


def test_kernels_of_one_side_are_named() -> None:
    lines = instructions.differences({"old": 1}, {"new": 1})
    assert lines == ["new: only counted", "old: only committed"]


def test_another_compiler_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = tmp_path / "instructions.json"
    committed.write_text(json.dumps({"compiler": "GCC: (Other) 1.0", "counts": {}}))
    monkeypatch.setattr(instructions, "COMMITTED", committed)
    monkeypatch.setattr("sys.argv", ["instructions"])
    instructions.main()
    said = capsys.readouterr().out
    assert said.startswith("INSTRUCTIONS NOT COMPARED")
    assert "GCC: (Other) 1.0" in said
    assert instructions.compiler() in said


def test_the_compiler_is_found() -> None:
    assert any(name in instructions.compiler() for name in ("GCC", "clang"))


def test_every_kernel_runs() -> None:
    if hot_kernels.ISA not in _core.cpu_isas():
        pytest.skip(f"this CPU has no {hot_kernels.ISA}")
    runs = hot_kernels.cases()
    for run in runs.values():
        run(1)
    assert len(runs) == 10
