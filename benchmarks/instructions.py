"""A gate on speed that does not time: instructions of the hot kernels, counted by callgrind.

    python -m benchmarks.instructions            # compare with benchmarks/instructions.json
    python -m benchmarks.instructions --write    # take today's counts as the new ones

Counts are the same on every machine that runs the same binary, and follow the compiler. Those of
another compiler are not compared: the program says so and succeeds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from internvl_native import _core

from .hot_kernels import ISA, REPEATS

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "benchmarks" / "instructions.json"
TOLERANCE = 0.03


def compiler() -> str:
    """What compiled the engine, from the comment that compilers leave in the library."""
    found = re.search(
        rb"(GCC: \([^\0]*\) [\d.]+|[\w ]*clang version [^\0]+)\0", Path(_core.__file__).read_bytes()
    )
    return found[1].decode() if found else "unknown"


def counts() -> dict[str, int]:
    """Instructions of one run of each kernel, without what surrounds the repeats."""
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/requests.so"
        source = str(ROOT / "benchmarks" / "callgrind_requests.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        subprocess.run(
            [
                "valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet",
                f"--callgrind-out-file={folder}/counts",
                sys.executable, "-m", "benchmarks.hot_kernels", library,
            ],
            check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        return of_one_run(path.read_text() for path in Path(folder).glob("counts*"))


def of_one_run(dumps: Iterable[str]) -> dict[str, int]:
    """What two more repeats take, halved, from the texts that callgrind wrote."""
    totals: dict[str, dict[int, int]] = {}
    for text in dumps:
        trigger = re.search(r"^desc: Trigger: Client Request: (\d+) (.+)$", text, re.MULTILINE)
        total = re.search(r"^summary: (\d+)$", text, re.MULTILINE)
        if trigger and total:  # the one that is written at the end has no request
            totals.setdefault(trigger[2], {})[int(trigger[1])] = int(total[1])
    few, many = REPEATS
    return {name: (t[many] - t[few]) // (many - few) for name, t in sorted(totals.items())}


def differences(committed: dict[str, int], counted: dict[str, int]) -> list[str]:
    """A line for each kernel that is missing or moved by more than the tolerance."""
    lines = []
    for name in sorted(committed.keys() | counted.keys()):
        if name not in committed or name not in counted:
            lines.append(f"{name}: only {'counted' if name in counted else 'committed'}")
        elif abs(counted[name] / committed[name] - 1) > TOLERANCE:
            change = counted[name] / committed[name] - 1
            lines.append(
                f"{name}: {counted[name]:,} instead of {committed[name]:,} ({change:+.1%})"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write: bool = parser.parse_args().write
    committed: dict[str, Any] = json.loads(COMMITTED.read_text()) if not write else {}
    if not write and committed["compiler"] != compiler():
        print(
            "INSTRUCTIONS NOT COMPARED: the committed counts are of a build by "
            f"{committed['compiler']}, this one is by {compiler()}"
        )
        return
    counted = counts()
    for name, count in counted.items():
        print(f"{name:34} {count:>13,}")
    if write:
        content = {"compiler": compiler(), "isa": ISA, "counts": counted}
        COMMITTED.write_text(json.dumps(content, indent=1) + "\n")
    elif lines := differences(committed["counts"], counted):
        raise SystemExit(
            "\n".join(lines) + "\nslower: mend it; meant: python -m benchmarks.instructions --write"
        )
    else:
        print(f"all within {TOLERANCE:.0%} of the committed counts")


if __name__ == "__main__":
    main()
