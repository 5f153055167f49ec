"""Runs with tiny weights: engines in their processes, what goes on after an interruption."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import checkpoint
from benchmarks.engines.job import Job
from benchmarks.machine import machine
from benchmarks.peers import NATIVE
from benchmarks.process import AbsentError, EngineError, EngineProcess, job_of
from benchmarks.results import Results
from benchmarks.runner import Pass, Plan
from benchmarks.stages import BY_NAME

STAGES = ("pixels-2mp", "load", "vit-1", "projector", "prefill-320", "decode-320", "decode-8",
          "chat-1", "second-turn", "first-token")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    checkpoint.write(path, "tiny")
    checkpoint.write_tokenizer(path, "tiny")
    return path


@pytest.fixture
def results() -> Results:
    return Results(machine(), "tiny")


@pytest.fixture
def native(folder: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(NATIVE, job_of(NATIVE, folder, "tiny", "bfloat16", 1))
    yield process
    process.close()


def plan_of(folder: Path, *names: str, again: bool = False) -> Plan:
    stages = [BY_NAME[name] for name in names]
    return Plan(stages, ["pillow"], folder, budget=0, rounds=1, again=again)


def test_every_stage_runs(folder: Path, results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Pass(plan_of(folder, *STAGES), results, path, "bfloat16", 1).run()
    assert Results.load(path) == results
    for name in STAGES:
        measured = results.stage(name, "bfloat16", 1)
        assert len(measured[NATIVE].samples) == 1, name
        assert measured[NATIVE].seconds > 0
        assert ("pillow" in measured) == (name == "pixels-2mp")
        assert bool(measured[NATIVE].peaks) == bool(BY_NAME[name].phases("tiny", "bfloat16"))
    first = results.stage("first-token", "bfloat16", 1)[NATIVE]
    assert list(first.part_seconds) == ["image", "vision", "prefill"]
    assert not results.failed


def test_a_second_run_measures_what_is_missing(
    folder: Path, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    Pass(plan_of(folder, "jpeg-2mp"), results, path, "bfloat16", 1).run()
    before = results.stage("jpeg-2mp", "bfloat16", 1)
    capsys.readouterr()
    Pass(plan_of(folder, "jpeg-2mp", "prefill-320"), results, path, "bfloat16", 1).run()
    assert results.stage("jpeg-2mp", "bfloat16", 1) == before
    assert results.stage("prefill-320", "bfloat16", 1)
    assert "jpeg-2mp" not in capsys.readouterr().err
    Pass(plan_of(folder, "jpeg-2mp", again=True), results, path, "bfloat16", 1).run()
    assert "jpeg-2mp" in capsys.readouterr().err


def test_a_missing_module_makes_an_engine_absent(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a checkout the reference is absent, whether or not there is torch."""
    monkeypatch.delenv("INTERNVL_REPO", raising=False)
    job = job_of("reference", folder, "tiny", "bfloat16", 1)
    with pytest.raises(AbsentError, match=r"torch|transformers|INTERNVL_REPO"):
        EngineProcess("reference", job)


def test_a_peer_that_does_not_start_is_absent(
    folder: Path, results: Results, tmp_path: Path
) -> None:
    plan = plan_of(folder, "jpeg-2mp")
    plan.interpreters["pillow"] = "/bin/false"
    Pass(plan, results, tmp_path / "results.json", "bfloat16", 1).run()
    assert results.absent["pillow"].startswith("its process ended with status 1")
    assert list(results.stage("jpeg-2mp", "bfloat16", 1)) == [NATIVE]


def test_an_error_in_a_run_leaves_the_engine_running(native: EngineProcess) -> None:
    with pytest.raises(EngineError, match="KeyError: 'nothing'"):
        native.measure("nothing")
    assert native.measure("ceilings")["peak"] > 0


def test_a_process_that_ends_is_an_error(native: EngineProcess) -> None:
    native.process.kill()
    with pytest.raises(EngineError, match="status -9"):
        native.measure("ceilings")


def test_an_engine_that_hangs_is_ended(native: EngineProcess) -> None:
    native.timeout = 0
    with pytest.raises(EngineError, match="status -9"):
        native.measure("load")


def test_a_peer_that_fails_leaves_the_stage_only(
    folder: Path, results: Results, tmp_path: Path
) -> None:
    """A Python that starts once: to see whether the peer is there."""
    once = tmp_path / "python"
    once.write_text(
        f'#!/bin/sh\nmkdir "{tmp_path}/started" || exit 1\nexec "{sys.executable}" "$@"\n'
    )
    once.chmod(0o755)
    plan = plan_of(folder, "jpeg-2mp")
    plan.interpreters["pillow"] = str(once)
    Pass(plan, results, tmp_path / "results.json", "bfloat16", 1).run()
    assert results.failed["pillow, jpeg-2mp"].startswith("its process ended with status 1")
    assert not results.absent
    assert list(results.stage("jpeg-2mp", "bfloat16", 1)) == [NATIVE]


def test_a_job_survives_its_command_line() -> None:
    job = Job("/a b", "tiny", "float32", 2, "Q8_0")
    assert Job.loads(job.dumps()) == job
