"""The simulation of the partition: its constants are the engine's, and it adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks import scaling
from benchmarks.checkpoint import SHAPES
from benchmarks.scaling import Machine, Operation, Work

BACKEND = Path(__file__).resolve().parents[2] / "csrc" / "backend" / "cpu"


@pytest.mark.parametrize(
    ("file", "constants"),
    [
        ("kernels.h", {"kLinearRows": scaling.LINEAR_ROWS}),
        (
            "cpu_linear.cpp",
            {
                "kRowTile": scaling.ROW_TILE,
                "kLeastRows": scaling.LEAST_ROWS,
                "kTasksPerThread": scaling.TASKS_PER_THREAD,
                "kMultiplications": scaling.MULTIPLICATIONS,
            },
        ),
        (
            "cpu_attention.cpp",
            {
                "kQueryRows": scaling.QUERY_ROWS,
                "kStoreTokens": scaling.STORE_TOKENS,
                "kBlockKeys": scaling.BLOCK_KEYS,
            },
        ),
        ("cpu_rows.cpp", {"kTaskElements": scaling.TASK_ELEMENTS}),
    ],
)
def test_constants_are_the_sources(file: str, constants: dict[str, int]) -> None:
    text = (BACKEND / file).read_text(encoding="utf-8")
    found = dict(re.findall(r"constexpr std::int64_t (k\w+) = ([^;]+);", text))
    for name, value in constants.items():
        number, _, shift = found[name].partition(" << ")
        assert int(number) << int(shift or 0) == value, name


def test_tiles_of_a_pass() -> None:
    text = (BACKEND / "cpu_backend.h").read_text(encoding="utf-8")
    assert f"std::int64_t{{{scaling.VISION_WORKSPACE >> 20}}} << 20" in text
    assert scaling.tiles_per_pass(SHAPES["2b"]) == 1


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_tasks_are_all_of_the_work(cores: int) -> None:
    rows, inputs, outputs = 1025, 1024, 4096
    tasks = scaling.linear("fc1", rows, inputs, outputs, cores).tasks
    assert sum(task.flops for task in tasks) == 2 * rows * inputs * outputs
    assert sum(task.bytes for task in tasks) == scaling.ELEMENT * inputs * outputs
    attention = scaling.vision_attention(2, rows, 16, 64, cores).tasks
    assert sum(task.flops for task in attention) == 4 * 2 * rows**2 * 1024
    (causal,) = scaling.cached_attention(320, 0, 16, 8, 128, cores)
    assert sum(task.flops for task in causal.tasks) == 2 * 320 * 321 * 16 * 128
    decoding = next(scaling.cached_attention(1, 1856, 16, 8, 128, cores)).tasks
    assert len(decoding) == (32 if cores == 64 else 8)
    assert sum(task.flops for task in decoding) == 4 * 1857 * 16 * 128


def test_makespan() -> None:
    """Three tasks on two cores: the third waits for the first to be free."""
    machine = Machine(peak=1.0, bandwidth=1.0, region=0.5)
    operation = Operation("x", [Work(3, 0), Work(1, 2), Work(1, 0)])
    assert machine.total(operation) == 6
    assert machine.makespan(operation, 1) == 6
    assert machine.makespan(operation, 2) == 3.5
    assert scaling.efficiency([operation], machine, 2) == pytest.approx(6 / 7)
    assert scaling.losses([operation], machine, 2) == {"x": pytest.approx(1 / 7)}


def test_table() -> None:
    machine = Machine(232e9, 27e9, 2e-6)
    lines = scaling.table(SHAPES["2b"], machine, [1, 64], parts=True).splitlines()
    assert [line.count("|") for line in lines] == [4] * 8
    assert all("| 100% |" in line for line in lines[2:])
    assert "attention" in lines[-1]
