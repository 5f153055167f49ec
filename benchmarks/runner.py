"""The schedule: stage by stage, all engines in turns, ceilings beside every run."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .peers import ENGINES, NATIVE
from .process import EngineError, EngineProcess, job_of
from .results import Record, Results
from .stages import Stage

MIN_ROUNDS = 2


@dataclass
class Plan:
    """What to measure.

    Attributes:
        budget: seconds after which a stage gets no more rounds than MIN_ROUNDS.
        rounds: at most, where a stage has more.
        interpreters: Python of the engines that are not installed in this one.
    """

    stages: list[Stage]
    peers: list[str]
    checkpoint: Path
    budget: float
    rounds: int | None = None
    again: bool = False
    interpreters: dict[str, str] = field(default_factory=dict)


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Pass:
    """All stages with one dtype and one number of threads."""

    def __init__(self, plan: Plan, results: Results, path: Path, dtype: str, threads: int) -> None:
        self.plan = plan
        self.results = results
        self.path = path
        self.dtype = dtype
        self.threads = threads
        self.processes: dict[str, EngineProcess] = {}

    def run(self) -> None:
        """Measures what the results lack, and saves them after each stage."""
        for name in self.plan.peers:
            self._look_for(name)
        try:
            pending = [stage for stage in self.plan.stages if not self._is_done(stage)]
            for index, stage in enumerate(pending):
                self._measure(stage)
                self.results.save(self.path)
                self._end_all_but(pending[index + 1 :])
        finally:
            self._end_all_but([])

    def _engines(self, stage: Stage) -> list[str]:
        """Those that have the stage, ours first."""
        return [
            name
            for name in (NATIVE, *self.plan.peers)
            if stage.kind in ENGINES[name].kinds
            and self.dtype in ENGINES[name].dtypes
            and name not in self.results.absent
        ]

    def _is_done(self, stage: Stage) -> bool:
        measured = self.results.stage(stage.name, self.dtype, self.threads)
        return not self.plan.again and all(name in measured for name in self._engines(stage))

    def _look_for(self, name: str) -> None:
        """Notes a peer that does not start, so that no stage waits for it."""
        self.results.absent.pop(name, None)
        if self.dtype not in ENGINES[name].dtypes:
            return
        try:
            self._start(name)
            self.processes.pop(name).close()
        except EngineError as error:
            self.results.absent[name] = str(error)
            progress(f"absent: {name}: {error}")

    def _end_all_but(self, stages: list[Stage]) -> None:
        needed = {name for stage in stages for name in self._engines(stage)}
        for name in set(self.processes) - needed:
            self.processes.pop(name).close()

    def _start(self, name: str) -> None:
        """Raises EngineError."""
        plan = self.plan
        job = job_of(name, plan.checkpoint, self.results.shape, self.dtype, self.threads)
        interpreter = plan.interpreters.get(name, sys.executable)
        self.processes[name] = EngineProcess(name, job, interpreter)
        self.results.engines[name] = self.processes[name].description

    def _measure(self, stage: Stage) -> None:
        phases = stage.phases(self.results.shape, self.dtype)
        engines = self._engines(stage)
        progress(f"{stage.name} ({self.dtype}, {self.threads} threads): {', '.join(engines)}")
        records = {
            name: Record(stage.name, name, self.dtype, self.threads, phases) for name in engines
        }
        rounds = min(stage.rounds, self.plan.rounds or stage.rounds)
        start = time.monotonic()
        for number in range(-1 if stage.warms_up else 0, rounds):
            if number == 0:
                start = time.monotonic()
            if number >= MIN_ROUNDS and time.monotonic() - start > self.plan.budget:
                break
            # Each engine is the first as often as the others: caches and clocks favour a place.
            for place in range(len(engines)):
                name = engines[(place + number) % len(engines)]
                if name in records:
                    self._run(stage, records, name, keep=number >= 0)
        self.results.replace([record for record in records.values() if record.samples])
        for record in records.values():
            if record.samples:
                progress(f"  {record.engine:16} {record.seconds:10.4f} s of {len(record.samples)}")

    def _run(self, stage: Stage, records: dict[str, Record], name: str, keep: bool) -> None:
        """One run of one engine, which leaves the stage if it fails."""
        record, label = records[name], f"{name}, {stage.name}"
        try:
            if name not in self.processes:
                self._start(name)
            ceilings = self._ceilings() if record.phases else None
            parts = self.processes[name].measure(stage.kind, *stage.sizes)
        except EngineError as error:
            if name == NATIVE:
                raise
            self.results.failed[label] = str(error)
            progress(f"  failed: {label}: {error}")
            del records[name]
            if name in self.processes:
                self.processes.pop(name).close()
        else:
            self.results.failed.pop(label, None)
            if keep:
                record.samples.append(parts)
                if ceilings is not None:
                    record.peaks.append(ceilings[0])
                    record.streams.append(ceilings[1])

    def _ceilings(self) -> tuple[float, float]:
        """(operations, bytes) a second that the machine reaches now."""
        if NATIVE not in self.processes:
            self._start(NATIVE)
        reached = self.processes[NATIVE].measure("ceilings")
        return reached["peak"], reached["stream"]
