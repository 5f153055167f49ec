"""Results as a roofline: python -m benchmarks.roofline RESULTS.json roofline.png

A point is a stage: operations for each byte that it has to read, and operations a second. The roof
is what the machine reached beside the runs. Needs matplotlib (the extra [bench]).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

from .peers import ENGINES, NATIVE
from .results import Record, Results

matplotlib.use("Agg")

from matplotlib import pyplot

MARKERS = dict(zip(ENGINES, "osD^v<>"))


def draw(results: Results, path: Path, dtype: str, threads: int) -> None:
    """Writes the picture of one pass. ValueError if nothing in it has a floor."""
    records = [
        r
        for r in results.records
        if (r.dtype, r.threads) == (dtype, threads) and len(r.phases) == 1 and r.phases[0].flops
    ]
    own = [r for r in records if r.engine == NATIVE]
    if not own:
        raise ValueError(f"no stage with a floor was measured in {dtype} with {threads} threads")
    peak = results.peak(dtype, threads)
    stream = max(stream for r in own for stream in r.streams)
    figure, axes = pyplot.subplots(figsize=(9, 6))
    positions = [intensity(r) for r in own]
    across = np.geomspace(min(positions) / 2, max(max(positions), peak / stream) * 2, 200)
    axes.loglog(across, np.minimum(peak, across * stream) / 1e9, color="black", label="the machine")
    for engine, marker in MARKERS.items():
        points = [(intensity(r), rate(r) / 1e9) for r in records if r.engine == engine]
        if points:
            axes.scatter(*zip(*points), marker=marker, label=engine, zorder=3)
    for record in own:
        axes.annotate(
            record.stage, (intensity(record), rate(record) / 1e9), rotation=-40,
            xytext=(4, -6), textcoords="offset points", fontsize=8, va="top",
        )  # fmt: skip
    axes.set_xlabel("floating-point operations a byte that has to be read")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(f"{results.machine['processor']}, {dtype}, threads: {threads}")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def intensity(record: Record) -> float:
    return record.phases[0].flops / record.phases[0].bytes


def rate(record: Record) -> float:
    return record.phases[0].flops / record.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    results = Results.load(arguments.results)
    draw(results, arguments.picture, *results.passes[0])


if __name__ == "__main__":
    main()
