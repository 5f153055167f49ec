"""Plots of training and of what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def plot_training(log: Path, file: Path) -> None:
    """Loss and accuracy of the tokens asked for, over all steps of all stages."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    losses, accuracies = figure.subplots(2, sharex=True)
    begin = 0
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = {row["step"]: row for row in rows if row["stage"] == stage}  # the last of a resume
        steps = [begin + step for step in mine]
        losses.semilogy(steps, [row["loss"] for row in mine.values()], label=stage)
        accuracies.plot(steps, [100 * row["accuracy"] for row in mine.values()])
        begin = steps[-1]
    losses.set(ylabel="loss")
    losses.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    accuracies.set(xlabel="step", ylabel="right, %", ylim=(0, 101))
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


def plot_reading(rows: list[dict[str, Any]], file: Path) -> None:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    names = {"en": "English", "zh": "Chinese"}
    for key, style in (("with thumbnail", "o-"), ("without", "s--")):
        for language, colour in (("en", "tab:blue"), ("zh", "tab:red")):
            shares = [100 * row[key][language] for row in rows]
            label = f"{names[language]}, {key}" + (" thumbnail" if key == "without" else "")
            axes.plot(range(len(rows)), shares, style, color=colour, label=label)
    axes.set_xticks(range(len(rows)), [str(row["max_num"]) for row in rows])
    axes.set(xlabel="max_num (tiles at most)", ylabel="answers right, %", ylim=(0, 101))
    axes.set_title("Reading small text on a page")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=120)
