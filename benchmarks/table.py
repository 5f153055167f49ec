"""Results as Markdown: python -m benchmarks.table RESULTS.json"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .peers import NATIVE, PEERS
from .results import Record, Results
from .stages import STAGES


def duration(seconds: float) -> str:
    """Three digits: 12.3 s, 80.1 ms."""
    if seconds >= 1:
        return f"{seconds:#.3g} s".replace(". ", " ")
    return f"{seconds * 1e3:#.3g} ms".replace(". ", " ")


def reached(record: Record, peak: float) -> str:
    """The rate that the floor of a stage of one phase is set by."""
    if len(record.phases) != 1 or not record.peaks:
        return ""
    (phase,) = record.phases
    if phase.flops / peak > phase.bytes / record.streams[0]:
        return f"{phase.flops / record.seconds / 1e9:.0f} GFLOP/s"
    return f"{phase.bytes / record.seconds / 1e9:.1f} GB/s"


def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.0%}"


def table(results: Results, dtype: str, threads: int) -> str:
    """The rows of one pass, and a column for each peer that was measured in it."""
    rows = [(stage, results.stage(stage.name, dtype, threads)) for stage in STAGES]
    rows = [(stage, records) for stage, records in rows if NATIVE in records]
    peak = results.peak(dtype, threads)
    peers = [name for name in PEERS if any(name in records for _, records in rows)]
    lines = [
        _line(["stage", NATIVE, "reached", "of the floor", *peers]),
        _line(["---"] * (4 + len(peers))),
    ]
    for stage, records in rows:
        own = records[NATIVE]
        cells = [
            stage.title,
            duration(own.seconds),
            reached(own, peak),
            percent(own.fraction(peak)),
        ]
        for name in peers:
            peer = records.get(name)
            cells.append(f"{duration(peer.seconds)} ({own.times(peer):.2g} x)" if peer else "")
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def ceilings(results: Results, dtype: str, threads: int) -> str:
    """The peak, the median of the bandwidth, and how far they moved."""
    own = [r for r in results.records if (r.engine, r.dtype, r.threads) == (NATIVE, dtype, threads)]
    peaks = sorted(peak / 1e9 for r in own for peak in r.peaks)
    streams = sorted(stream / 1e9 for r in own for stream in r.streams)
    if not peaks:
        return ""
    middle = len(streams) // 2
    return (
        f" Ceilings: {peaks[-1]:.0f} GFLOP/s (down to {peaks[0]:.0f} beside other programs), "
        f"{streams[middle]:.1f} GB/s ({streams[0]:.1f} to {streams[-1]:.1f})."
    )


def parts(results: Results, dtype: str, threads: int) -> str:
    """What a first token's time consists of, and what a batch gains, where they were measured."""
    sentences = []
    first = results.stage("first-token", dtype, threads).get(NATIVE)
    if first:
        shares = ", ".join(f"{name} {duration(s)}" for name, s in first.part_seconds.items())
        sentences.append(f"To the first token: {shares}.")
    alone = results.stage("decode-320", dtype, threads).get(NATIVE)
    batch = results.stage("decode-8", dtype, threads).get(NATIVE)
    if alone and batch:
        gain = 8 * alone.seconds / batch.seconds
        sentences.append(f"8 sequences decode {gain:.1f} x the tokens of one in the same time.")
    return " ".join(sentences)


def document(results: Results) -> str:
    """All passes, the machine, who took part and who did not."""
    machine = results.machine
    blocks = [
        f"{machine['processor']}, {machine['cpus']} CPUs, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory; random weights of the "
        f"{results.shape} shape. Medians of interleaved runs; in brackets, how many times our time "
        "a peer takes, the median over the rounds."
    ]
    for dtype, threads in results.passes:
        header = f"{dtype}, {threads} thread{'s' * (threads > 1)}."
        blocks += [header + ceilings(results, dtype, threads), table(results, dtype, threads)]
        blocks.append(parts(results, dtype, threads))
    commands = ", ".join(f"`{command}`" for command in results.commands)
    blocks.append(f"Measured by {commands} on {', '.join(results.dates)}.")
    blocks.append("\n".join(f"- {name}: {text}" for name, text in results.engines.items()))
    blocks.append("\n".join(f"- absent: {name} ({text})" for name, text in results.absent.items()))
    blocks.append("\n".join(f"- failed: {name} ({text})" for name, text in results.failed.items()))
    return "\n\n".join(block for block in blocks if block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    print(document(Results.load(parser.parse_args().results)))


if __name__ == "__main__":
    main()
