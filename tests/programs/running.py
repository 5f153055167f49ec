"""Running programs as users do."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
FLOAT32 = FOLDER / "float32.py"
HIDDEN_TRANSFORMERS = FOLDER / "hidden_transformers"
RUN = [sys.executable, "-m", "internvl_native", "run"]
MODULES = ("torch", "torchvision", "transformers")
INSTALLED = {name: importlib.util.find_spec(name) is not None for name in MODULES}

needs_torch = pytest.mark.skipif(not INSTALLED["torch"], reason="torch is not installed")
needs_transformers = pytest.mark.skipif(
    not INSTALLED["torch"] or not INSTALLED["transformers"],
    reason="torch or transformers is not installed",
)


def works(module: str) -> bool:
    """Whether the module can be imported; a torchvision may be there without its torch."""
    command = [sys.executable, "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def path_with(*folders: Path | str) -> dict[str, str]:
    """An environment whose PYTHONPATH begins with the folders."""
    old = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [os.path.abspath(folder) for folder in old if folder]
    return {"PYTHONPATH": os.pathsep.join([*map(str, folders), *absolute])}


def one_process_group() -> dict[str, str]:
    """What torchrun puts into the environment of a single process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**group, "WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}


def execute(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished process, run in `folder`; 5 minutes at most."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **path_with(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def run(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`internvl-native run command...`, which has to succeed."""
    done = execute([*RUN, *command], folder, environment)
    assert done.returncode == 0, done.stderr
    return done


def run_source(
    source: str, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """As `run`, for a program given as text."""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    return run([str(path)], folder, environment)


def read_answers(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
