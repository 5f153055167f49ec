"""Measurements as JSON: every sample of every engine, and what was measured beside it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .engines.job import Parts
from .peers import NATIVE
from .work import Phase

FORMAT = 1


@dataclass
class Record:
    """One engine's runs of a stage. Runs of one index were made one after the other.

    Attributes:
        samples: the seconds of each run, by part.
        peaks: operations a second that this machine reached just before each run.
        streams: bytes a second that it read.
        phases: what a run has to do at least.
    """

    stage: str
    engine: str
    dtype: str
    threads: int
    phases: list[Phase]
    samples: list[Parts] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    streams: list[float] = field(default_factory=list)

    @property
    def all_seconds(self) -> list[float]:
        return [sum(parts.values()) for parts in self.samples]

    @property
    def seconds(self) -> float:
        """The median of a run's."""
        return statistics.median(self.all_seconds)

    @property
    def part_seconds(self) -> Parts:
        """The median of each part."""
        return {
            part: statistics.median(parts[part] for parts in self.samples)
            for part in self.samples[0]
        }

    def fraction(self, peak: float) -> float | None:
        """The median of floor / seconds, the floor at the peak and at the bandwidth beside each
        run, which moves."""
        if not self.phases:
            return None
        return statistics.median(
            sum(phase.floor(peak, stream) for phase in self.phases) / seconds
            for seconds, stream in zip(self.all_seconds, self.streams)
        )

    def times(self, other: Record) -> float:
        """How many times this one's seconds the other takes: the median over the rounds."""
        pairs = zip(self.all_seconds, other.all_seconds)
        return statistics.median(theirs / own for own, theirs in pairs)


@dataclass
class Results:
    """What a JSON file holds.

    Attributes:
        commands: those that measured it, in their order.
        engines: their descriptions by name.
        absent: why engines that were asked for are not there.
        failed: what went wrong, by "engine, stage".
        dates: the days of the measurements.
    """

    machine: dict[str, Any]
    shape: str
    commands: list[str] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)

    def stage(self, name: str, dtype: str, threads: int) -> dict[str, Record]:
        """The records of a stage by engine."""
        key = (name, dtype, threads)
        return {r.engine: r for r in self.records if (r.stage, r.dtype, r.threads) == key}

    def peak(self, dtype: str, threads: int) -> float:
        """The most operations a second that were reached beside any run: where it was less,
        another program had the CPU. 0 if none was measured."""
        found = [r.peaks for r in self.records if (r.dtype, r.threads) == (dtype, threads)]
        return max((peak for peaks in found for peak in peaks), default=0)

    def replace(self, records: Sequence[Record]) -> None:
        """Puts the records of one stage in place of earlier ones of their engines."""
        keys = {(r.stage, r.dtype, r.threads, r.engine) for r in records}
        kept = [r for r in self.records if (r.stage, r.dtype, r.threads, r.engine) not in keys]
        self.records = [*kept, *records]

    @property
    def passes(self) -> list[tuple[str, int]]:
        """(dtype, threads) that something was measured with."""
        found = [(r.dtype, r.threads) for r in self.records if r.engine == NATIVE]
        return list(dict.fromkeys(found))

    def save(self, path: Path) -> None:
        """Writes the file at once: a run that is interrupted leaves the one before."""
        unfinished = path.with_name(path.name + ".unfinished")
        content = {"format": FORMAT, **asdict(self)}
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Raises ValueError for a file of another format."""
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format", None) != FORMAT:
            raise ValueError(f"{path}: expected results in format {FORMAT}")
        records = [
            Record(**{**record, "phases": [Phase(*phase) for phase in record["phases"]]})
            for record in content.pop("records")
        ]
        return cls(**content, records=records)
