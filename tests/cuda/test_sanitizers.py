"""The kernels' own tests on the GPU of this machine, alone and under NVIDIA's compute-sanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from internvl_native import devices

ROOT = Path(__file__).resolve().parents[2]
KERNEL_TESTS = [
    str(path.relative_to(ROOT))
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if "\nfrom .device import" in path.read_text(encoding="utf-8")
]


@pytest.mark.cuda
@pytest.mark.parametrize("tool", [None, "memcheck", "racecheck"])
def test_kernels_on_the_gpu(tool: str | None) -> None:
    lacking = devices.missing()
    if lacking is not None:
        pytest.skip(lacking)
    command = [sys.executable, "-m", "pytest", "-q", *KERNEL_TESTS]
    if tool is not None:
        sanitizer = shutil.which("compute-sanitizer")
        if sanitizer is None:
            pytest.skip("needs compute-sanitizer of the CUDA toolkit")
        options = ["--tool", tool, "--error-exitcode", "9"]
        command = [sanitizer, *options, "--target-processes", "application-only", *command]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "INTERNVL_NATIVE_TEST_ON_DEVICE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
