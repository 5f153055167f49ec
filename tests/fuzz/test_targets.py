"""Every target on its seeds, on what once was a finding, and on a few mutations that never change.

`make fuzz` tries more, and others each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz.campaign import TARGETS
from tests.fuzz.target import Campaign, Target, outcome

FOLDER = Path(__file__).parent / "regressions"
REGRESSIONS = [path for name in TARGETS for path in sorted((FOLDER / name).glob("*"))]
INPUTS = 150


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_mutations(target: Target, tmp_path: Path) -> None:
    campaign = Campaign(target, tmp_path, seed="0")
    for data in target.seeds():
        assert outcome(target, data, tmp_path) is None
    for _ in range(INPUTS):
        campaign.run(campaign.next_input())
    assert len(campaign.outcomes) > 1


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_regressions(path: Path, tmp_path: Path) -> None:
    outcome(TARGETS[path.parent.name], path.read_bytes(), tmp_path)
