"""`internvl-native run`: a program as `python` runs it, with the stand-ins in place.

The process becomes `python program arguments...`: arguments, exit codes, tracebacks, signals and
worker processes are Python's own. What the stand-ins need travels in the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from internvl_native.programs import install
from internvl_native.programs.cuda import stay_on_cpu

_STARTUP = str(Path(__file__).parent / "startup")


def run_program(command: Sequence[str]) -> NoReturn:
    """Replaces this process by ``python *command``, `command` being a script or ``-m module`` with
    its arguments.

    Raises ValueError where Python was told to ignore its environment (-E, -I).
    """
    if sys.flags.ignore_environment:
        raise ValueError("python -E or -I: internvl-native run needs the environment: drop it")
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *flags, *command], _environment())


def _environment() -> dict[str, str]:
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [_STARTUP, *(entry for entry in path if entry and entry != _STARTUP)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "INTERNVL_NATIVE_RUN": sys.prefix,
    }


def prepare() -> None:
    """What every Python process of the program begins with."""
    install()
    stay_on_cpu()
