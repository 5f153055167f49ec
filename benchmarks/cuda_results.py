"""What benchmarks of a GPU have in common: the GPU and what it lacks, JSON and Markdown."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import internvl_native
from internvl_native import _core, devices

RESULTS = Path(__file__).parent / "results"
FORMAT = 1

_PACKAGES = ("nvidia-cublas", "nvidia-cudnn-cu13", "torch", "transformers", "numpy")
_GEMM_SIDE = 8192
_COPY_BYTES = 1 << 30


class Ceilings(NamedTuple):
    """What the GPU reached: operations and bytes (read and written) a second."""

    flops: float
    bytes: float


@dataclass
class Record:
    """Runs of one thing, each beside the ceilings that were measured just before it.

    Attributes:
        engine: who ran.
        seconds: of each run.
        floors: seconds that each run could not have taken less than, at its ceilings.
        rate: what the median run reached, with its unit; "" where it has none.
    """

    name: str
    engine: str
    seconds: list[float]
    floors: list[float]
    rate: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def fraction(self) -> float:
        """The median of floor / seconds."""
        return statistics.median(f / s for f, s in zip(self.floors, self.seconds))


@dataclass
class Results:
    """What a JSON file holds.

    Attributes:
        machine: the GPU, its driver, and versions.
        ceilings: [operations a second, bytes a second], all that were measured.
        absent: why what was asked for was not measured, by its name.
    """

    title: str
    machine: dict[str, Any]
    ceilings: list[Ceilings] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path, name: str) -> list[Path]:
        """Writes NAME.json and NAME.md."""
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"
        paths = [folder / f"{name}.json", folder / f"{name}.md"]
        for path, text in zip(paths, (content, document(self))):
            path.write_text(text, encoding="utf-8")
        return paths


def document(results: Results) -> str:
    """Markdown: the machine, the ceilings, and a row a record."""
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    lines = [f"# {results.title}", "", machine + ".", ""]
    if results.ceilings:
        flops = [ceilings.flops / 1e12 for ceilings in results.ceilings]
        rates = [ceilings.bytes / 1e9 for ceilings in results.ceilings]
        lines += [
            f"Ceilings, measured beside every run: {_spread(flops)} TFLOP/s (cuBLASLt, bfloat16, "
            f"{_GEMM_SIDE} cubed) and {_spread(rates)} GB/s (device copy, read and written).",
            "",
        ]
    lines += ["| what | engine | median | reached | of the floor |", "|---|---|---:|---:|---:|"]
    for record in results.records:
        cells = [
            record.name, record.engine, duration(record.median), record.rate,
            f"{record.fraction:.0%}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    if results.absent:
        lines += ["", *(f"- absent: {name}: {why}" for name, why in results.absent.items())]
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def duration(seconds: float) -> str:
    """Three digits: 1.23 s, 80.1 ms, 4.56 us."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


class Gpu:
    """A GPU, and the ceilings that it reaches through the engine's own backend.

    Args:
        flop_side: of the square matrices of the product.
        copy_bytes: of the copy.

    Raises DeviceError where it cannot be used.
    """

    def __init__(
        self, index: int, flop_side: int = _GEMM_SIDE, copy_bytes: int = _COPY_BYTES
    ) -> None:
        self.name = f"cuda:{index}"
        self.operations: Any = _core.kernels.Backend(devices.backend(self.name))
        self._side, self._bytes = flop_side, copy_bytes
        self._product = self.operations.linear_of(flop_side, flop_side, flop_side, "bfloat16")
        self._copy = self.operations.copy_of(copy_bytes)

    def ceilings(self) -> Ceilings:
        """What it reaches now."""
        (product,) = self._product.seconds(4, 1)
        (copy,) = self._copy.seconds(4, 1)
        return Ceilings(2 * self._side**3 / product, 2 * self._bytes / copy)


def require_gpu(program: str) -> None:
    """Ends the program with one line where there is no GPU to measure."""
    lacking = devices.missing()
    if lacking is not None:
        raise SystemExit(f"{program}: no GPU to measure: {lacking}")


def machine(index: int) -> dict[str, Any]:
    """The GPU as its driver names it, and versions of what takes part."""
    fields = ("name", "driver_version", "memory.total", "clocks.max.sm", "power.limit")
    command = ["nvidia-smi", f"--id={index}", f"--query-gpu={','.join(fields)}"]
    try:
        done = subprocess.run(
            [*command, "--format=csv,noheader"], capture_output=True, text=True, check=True
        )
        values = [value.strip() for value in done.stdout.strip().split(",")]
    except (OSError, subprocess.CalledProcessError) as error:
        values = [f"unknown ({error})"]
    versions = {"internvl-native": internvl_native.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {**dict(zip(("GPU", "driver", "memory", "clock", "power limit"), values)), **versions}


def file_name(prefix: str, machine: dict[str, Any]) -> str:
    """PREFIX-nvidia-h100-80gb-hbm3"""
    words = "".join(c if c.isalnum() else " " for c in str(machine["GPU"]).lower()).split()
    return "-".join([prefix, *words])
