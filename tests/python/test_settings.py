"""How many threads: by the environment and by `set_num_threads`; what empty variables mean."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.support.goldens import DATA

import internvl_native
from internvl_native import _core


def run(code: str, **variables: str) -> str:
    """The last line that a fresh process prints, its error if there is one."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return (process.stdout + process.stderr).splitlines()[-1]


THREADS = "import internvl_native; print(internvl_native.num_threads())"
BACKEND = f"""
from internvl_native import AutoModel
print(AutoModel.from_pretrained({str(DATA / "ckpt_ntk")!r}).backend)
"""


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("3", 3), ("1024", 1024)])
def test_threads_by_environment(value: str, count: int) -> None:
    assert run(THREADS, INTERNVL_NATIVE_NUM_THREADS=value) == str(count)


def test_an_empty_variable_counts_as_none() -> None:
    allowed = len(os.sched_getaffinity(0))
    assert run(THREADS, INTERNVL_NATIVE_NUM_THREADS="") == str(allowed)
    assert run(BACKEND, INTERNVL_NATIVE_ISA="") == f"cpu/{_core.cpu_isas()[-1]}"


@pytest.mark.parametrize("value", ["0", "-2", "1025", "abc", "2.5", "99999999999999999999"])
def test_numbers_of_threads_that_are_refused(value: str) -> None:
    message = f"INTERNVL_NATIVE_NUM_THREADS: expected an integer from 1 to 1024, got '{value}'"
    assert message in run(THREADS, INTERNVL_NATIVE_NUM_THREADS=value)


def test_set_num_threads() -> None:
    before = internvl_native.num_threads()
    try:
        internvl_native.set_num_threads(before + 1)
        assert internvl_native.num_threads() == before + 1
    finally:
        internvl_native.set_num_threads(before)
