"""What `pip install` and `import` promise."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import internvl_native


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_import_leaves_the_heavy_packages_alone() -> None:
    loaded = run_python("import internvl_native, sys; print(*sys.modules)").split()
    assert not {"torch", "transformers", "torchvision", "huggingface_hub"}.intersection(loaded)


def test_import_is_quick() -> None:
    code = """
import time
start = time.perf_counter()
import internvl_native
print(time.perf_counter() - start)
"""
    # The promise is 0.3 s; the best of a few runs, since test machines are busy.
    assert min(float(run_python(code)) for _ in range(5)) < 0.3


def test_package_says_that_it_is_typed() -> None:
    folder = Path(internvl_native.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_core.pyi").is_file()


def test_versions_agree() -> None:
    try:
        installed = importlib.metadata.version("internvl-native")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("runs from a build folder: there is no installed version")
    assert internvl_native.__version__ == installed


def test_dir_shows_the_public_names() -> None:
    shown = [name for name in dir(internvl_native) if not name.startswith("__")]
    assert shown == sorted(internvl_native.__all__)
    for name in shown:
        assert getattr(internvl_native, name).__doc__, name
