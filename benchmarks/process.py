"""An engine's process, seen from the one that measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import IO, Any, cast

from .engines.job import Job, Parts
from .peers import ENGINES

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 900  # seconds: a conversion, or the slowest stage on a slow machine


class EngineError(Exception):
    """The engine failed, or its process ended."""


class AbsentError(EngineError):
    """The engine is not installed."""


class EngineProcess:
    """Starts an engine with an interpreter of its own.

    Raises AbsentError where a module that it needs is missing.
    """

    def __init__(
        self, name: str, job: Job, interpreter: str = sys.executable, timeout: float = TIMEOUT
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.log = job.folder / f"{name}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads)}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [interpreter, "-m", "benchmarks.worker", name, job.dumps()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, cwd=ROOT, env=environment,
            )  # fmt: skip
        self.stdin = cast("IO[str]", self.process.stdin)
        self.stdout = cast("IO[str]", self.process.stdout)
        try:
            hello = self._answer()
        except EngineError:
            self.close()
            raise
        if "absent" in hello:
            self.close()
            raise AbsentError(hello["absent"])
        self.description: str = hello["description"]

    def measure(self, kind: str, *sizes: int) -> Parts:
        """Seconds of each part of one run. Raises EngineError."""
        try:
            self.stdin.write(json.dumps([kind, *sizes]) + "\n")
            self.stdin.flush()
        except BrokenPipeError:
            raise EngineError(self._ended()) from None
        answer = self._answer()
        if "error" in answer:
            raise EngineError(answer["error"])
        parts: Parts = answer["seconds"]
        return parts

    def close(self) -> None:
        """Ends the process; its memory is free afterwards."""
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        timer = Timer(self.timeout, self.process.kill)
        timer.start()
        try:
            line = self.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise EngineError(self._ended())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> str:
        """Why there is no answer: the status, and the end of what was printed."""
        status = self.process.wait()
        last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return f"its process ended with status {status}" + "".join(f": {line}" for line in last)


def job_of(name: str, checkpoint: Path, shape: str, dtype: str, threads: int) -> Job:
    """What the engine's process is told."""
    return Job(str(checkpoint.resolve()), shape, dtype, threads, ENGINES[name].variant)
