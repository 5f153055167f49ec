"""Extension modules that only tests use, compiled when a test asks for one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pybind11

ROOT = Path(__file__).resolve().parents[2]


def compile_project(source: Path, build: Path, settings: Sequence[str] = ()) -> None:
    """The CMake project in `source`, into `build`; what has not changed is not compiled again.
    RuntimeError with the compiler's words where that fails."""
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if cmake is None:
        raise RuntimeError(f"the tests that compile {source} need cmake")
    for step in [["-S", str(source), "-B", str(build), *settings], ["--build", str(build)]]:
        # Not under the address sanitizer, if that runs the tests: compilers leak.
        jobs = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count())}
        environment = {**jobs, **os.environ, "LD_PRELOAD": ""}
        done = subprocess.run([cmake, *step], capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"cmake {' '.join(step)} failed:\n{done.stdout}\n{done.stderr}")


def build_module(name: str, source: Path) -> ModuleType:
    """The module `name` of the CMake project in `source`, compiled as by compile_project()."""
    build = ROOT / "build" / "tests" / name
    settings = [
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    compile_project(source, build, settings)
    (library,) = build.glob(f"{name}*.so")
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
