"""The programs of `scripts/` give the answers that the reference gave (tests/reference)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.programs.cases import IMAGES, PROGRAMS, SCRIPTS
from tests.programs.running import (
    FLOAT32,
    HIDDEN_TRANSFORMERS,
    RUN,
    execute,
    needs_torch,
    one_process_group,
    path_with,
    read_answers,
    run,
    works,
)
from tests.support.goldens import DATA

EXPECTED = read_answers(DATA / "extra" / "programs.json")


def test_every_program_has_answers() -> None:
    assert EXPECTED.keys() == PROGRAMS.keys()


@needs_torch
@pytest.mark.parametrize("name", PROGRAMS)
def test_answers_are_the_references(name: str, tmp_path: Path) -> None:
    if name == "quick start" and not works("torchvision"):
        pytest.skip("torchvision does not work")
    answers = tmp_path / "answers.json"
    run([str(FLOAT32), *PROGRAMS[name].command(answers)], tmp_path, one_process_group())
    assert read_answers(answers) == EXPECTED[name]


@needs_torch
@pytest.mark.parametrize("name", ["model worker", "generate server", "harness", "vqa"])
def test_answers_without_transformers(name: str, tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    environment = {**one_process_group(), **path_with(HIDDEN_TRANSFORMERS)}
    run([str(FLOAT32), *PROGRAMS[name].command(answers)], tmp_path, environment)
    assert read_answers(answers) == EXPECTED[name]


def test_answers_without_torch(tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    script = SCRIPTS / "quick_start_numpy.py"
    checkpoint = DATA / PROGRAMS["quick start"].checkpoint
    environment = path_with(HIDDEN_TRANSFORMERS)
    run([str(script), str(checkpoint), str(IMAGES), str(answers)], tmp_path, environment)
    numpy_answers = read_answers(answers)
    assert numpy_answers.keys() >= {"text", "image", "batch", "video", "streaming"}
    assert numpy_answers == {name: EXPECTED["quick start"][name] for name in numpy_answers}


@needs_torch
@pytest.mark.parametrize("launcher", ["inside", "outside"])
def test_two_processes_of_torchrun(launcher: str, tmp_path: Path) -> None:
    """`torchrun` started by `internvl-native run`, and the other way round."""
    answers = tmp_path / "answers.json"
    program = [str(FLOAT32), *PROGRAMS["pope"].command(answers), "--num-workers", "2"]
    distributed = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    if launcher == "inside":
        command = [*RUN, *distributed, *program]
    else:
        command = [sys.executable, *distributed, "-m", "internvl_native", "run", *program]
    done = execute(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_answers(answers) == EXPECTED["pope"]
