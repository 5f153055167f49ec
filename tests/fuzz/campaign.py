"""Fuzzes targets for a time, or repeats single inputs.

python -m tests.fuzz.campaign [--seconds S] [--seed TEXT] [--findings FOLDER] [TARGET...]
python -m tests.fuzz.campaign TARGET --input FILE

Each target runs in a process of its own, so that a crash, a hang (10 seconds for one input) and
memory beyond the limit are findings as unexpected exceptions are. Exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.call_targets import TARGETS as CALLS
from tests.fuzz.checkpoint_targets import TARGETS as CHECKPOINTS
from tests.fuzz.image_targets import TARGETS as IMAGES
from tests.fuzz.target import Campaign, Target, outcome
from tests.fuzz.text_targets import TARGETS as TEXTS

TARGETS = {target.name: target for target in [*CHECKPOINTS, *TEXTS, *IMAGES, *CALLS]}
SECONDS_PER_INPUT = 10
LIMIT_KB = 2 << 20
"""Of resident memory: the sanitizers' own is about 300 MB."""
GROWTH_KB = 256 << 10
"""That one input may add to the peak; all of them are small."""


def fuzz(target: Target, seconds: float, seed: str, current: Path) -> None:
    """Runs inputs until the time is over; each is in the file `current` while it runs."""
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(target, Path(folder), seed)
        for data in list(campaign.pool):
            campaign.run(data)
        count, peak, end = len(campaign.pool), peak_memory(), time.monotonic() + seconds
        while time.monotonic() < end:
            data = campaign.next_input()
            current.write_bytes(data)
            faulthandler.dump_traceback_later(SECONDS_PER_INPUT, exit=True)
            campaign.run(data)
            faulthandler.cancel_dump_traceback_later()
            count += 1
            before, peak = peak, peak_memory()
            if peak - before > GROWTH_KB or peak > LIMIT_KB:
                raise MemoryError(f"one input took {peak - before} KB, all of them {peak} KB")
        current.unlink(missing_ok=True)
        print(
            f"{target.name}: {count} inputs, {len(campaign.outcomes)} kinds of outcome, "
            f"peak memory {peak >> 10} MB"
        )


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz_in_a_process(name: str, arguments: argparse.Namespace) -> bool:
    """Whether the target went through without a finding."""
    arguments.findings.mkdir(parents=True, exist_ok=True)
    current = arguments.findings / name
    command = [sys.executable, "-m", "tests.fuzz.campaign", name, "--current", str(current)]
    command += ["--seconds", str(arguments.seconds), "--seed", arguments.seed]
    finished = subprocess.run(command, check=False)
    if finished.returncode == 0:
        return True
    print(f"FINDING: {name} (exit status {finished.returncode}); to repeat it:")
    print(f"  python -m tests.fuzz.campaign {name} --input {current}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", choices=[*TARGETS, []])
    parser.add_argument("--seconds", type=float, default=5, help="for each target")
    parser.add_argument("--seed", default=str(time.time_ns()), help="the inputs follow from it")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz/findings"))
    parser.add_argument("--list", action="store_true", help="print the targets' names")
    parser.add_argument("--input", type=Path, help="repeat this one")
    parser.add_argument("--current", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    names = arguments.targets or list(TARGETS)
    if arguments.list:
        print(*TARGETS, sep="\n")
        return 0
    if arguments.input:
        with tempfile.TemporaryDirectory() as folder:
            print(outcome(TARGETS[names[0]], arguments.input.read_bytes(), Path(folder)))
        return 0
    if arguments.current:
        fuzz(TARGETS[names[0]], arguments.seconds, arguments.seed, arguments.current)
        return 0
    passed = [fuzz_in_a_process(name, arguments) for name in names]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
