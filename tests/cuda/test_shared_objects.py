"""The package imports without any library of CUDA, and says what a GPU would need."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

OF_CUDA = re.compile(r"lib(cu|nv)[\w-]*\.so")
DRIVER = Path("/proc/driver/nvidia/version")


def path_of(module: str) -> str:
    spec = importlib.util.find_spec(f"internvl_native.{module}")
    if spec is None:
        pytest.skip(f"this installation was built without {module}")
    assert spec.origin is not None
    return spec.origin


@pytest.mark.parametrize("module", ["_core", "_cuda"])
def test_the_linker_needs_nothing_of_cuda(module: str) -> None:
    done = subprocess.run(["ldd", path_of(module)], capture_output=True, text=True, check=True)
    assert "libstdc++" in done.stdout
    assert "not found" not in done.stdout
    assert not OF_CUDA.search(done.stdout)


def test_the_import_looks_for_nothing_of_cuda() -> None:
    """LD_DEBUG names every library that the linker looks for, found or not."""
    done = subprocess.run(
        [sys.executable, "-c", "from internvl_native import AutoModel, _core"],
        env={**os.environ, "LD_DEBUG": "libs"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "find library=libjpeg" in done.stderr
    assert not OF_CUDA.search(done.stderr)


@pytest.mark.skipif(DRIVER.exists(), reason="this machine has a GPU")
def test_what_is_missing_is_said() -> None:
    code = "from internvl_native import devices; print(devices.missing())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if importlib.util.find_spec("internvl_native._cuda") is None:
        assert "this installation was built without CUDA: install nvcc" in done.stdout
    else:
        assert "no NVIDIA driver: libcuda.so.1 is missing" in done.stdout
