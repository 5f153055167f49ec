"""Runs `internvl-native` as a user does: in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import internvl_native

COMMAND = [sys.executable, "-m", "internvl_native"]


def environment(**variables: str) -> dict[str, str]:
    """This process's, without what changes the colours, and with these variables.

    The package is found in any working directory, and the servers of tests without a proxy.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    package = str(Path(internvl_native.__file__).parents[1])
    ours = {"TERM": "xterm-256color", "PYTHONPATH": package, "no_proxy": "127.0.0.1"}
    return {**inherited, **ours, **variables}


def run(
    *arguments: object, stdin: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command printed, and its exit code; without `stdin` there is none to read."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input="" if stdin is None else stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        env=environment(PYTHONIOENCODING="utf-8"),
        cwd=cwd,
    )


def interrupt(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """What the command printed before it got SIGINT, a second after it loaded the engine."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and "/internvl_native/_core" not in maps.read_text():
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
