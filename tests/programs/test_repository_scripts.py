"""The InternVL repository's evaluation scripts run unedited, with the reference's answers.

INTERNVL_REPOSITORY names a checkout of https://github.com/OpenGVLab/InternVL. What the scripts
import beside torch (torchvision, tqdm, decord, cv2, imageio, pycocoevalcap) has to be installed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.programs.repository_cases import (
    REPOSITORY_PROGRAMS,
    repository,
    results,
    working_folder,
)
from tests.programs.running import FLOAT32, RUN, execute, one_process_group, read_answers
from tests.support.goldens import DATA

pytestmark = pytest.mark.skipif(
    "INTERNVL_REPOSITORY" not in os.environ, reason="INTERNVL_REPOSITORY is not set"
)
EXPECTED = read_answers(DATA / "extra" / "repository_programs.json")


@pytest.mark.parametrize("name", REPOSITORY_PROGRAMS)
def test_answers_are_the_references(name: str, tmp_path: Path) -> None:
    program = REPOSITORY_PROGRAMS[name]
    program.lay_out(tmp_path)
    folder = working_folder(tmp_path, program.script)
    done = execute(
        [*RUN, str(FLOAT32), *program.command(repository())], folder, one_process_group()
    )
    assert results(tmp_path) == EXPECTED[name], done.stderr
