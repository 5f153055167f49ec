"""Registers, spills and shared memory of the CUDA kernels, as ptxas reported them.

    python -m benchmarks.cuda_resources BUILD_FOLDER [--output FOLDER]

A build with ``-Xptxas=-v`` and .ci/keep-output as the compiler's launcher (``make CUDA=ON``) has a
log beside each object. Spilled registers travel through memory: they are listed first, and the exit
status is 1 where there are some.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True, order=True)
class Resources:
    """Of one kernel on one architecture; memory in bytes, that of spills per thread, shared memory
    per block, without what a launch asks for."""

    kernel: str
    architecture: str
    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int


def read_log(text: str) -> list[Resources]:
    """What ptxas -v printed, with the kernels' names as the linker has them."""
    found = []
    kernel = architecture = ""
    stack = stores = loads = 0
    for line in text.splitlines():
        if match := _ENTRY.search(line):
            kernel, architecture = match.groups()
            stack = stores = loads = 0
        elif match := _FRAME.search(line):
            stack, stores, loads = map(int, match.groups())
        elif match := _USED.search(line):
            shared = _SHARED.search(line)
            found.append(
                Resources(
                    kernel, architecture, int(match[1]), stores, loads, stack,
                    int(shared[1]) if shared else 0,
                )
            )  # fmt: skip
    return found


def readable(names: Iterable[str]) -> list[str]:
    """C++ names, without our namespace, result and parameters."""
    done = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    short = []
    for name in done.stdout.splitlines():
        name = name.replace("internvl::cuda::", "").replace("internvl::", "")
        name = re.sub(r"\(\w+\)(?=\d)", "", name).removeprefix("void ")  # (int)64
        short.append(re.sub(r"\(.*\)$", "", name))
    return short


def table(resources: list[Resources], compiler: str) -> str:
    """Markdown: a row a kernel, its registers on each architecture, spills first."""
    architectures = sorted({r.architecture for r in resources})
    by_kernel: dict[str, dict[str, Resources]] = {}
    for r in resources:
        by_kernel.setdefault(r.kernel, {})[r.architecture] = r
    spills = [r for r in resources if r.spill_stores or r.spill_loads]
    lines = [
        "# Registers and shared memory of the CUDA kernels",
        "",
        f"{len(by_kernel)} kernels, {compiler}. Written by `python -m benchmarks.cuda_resources`.",
        "",
        f"## Spills: {len(spills)}",
        "",
    ]
    lines += [
        f"- `{r.kernel}` on sm_{r.architecture}: {r.spill_stores} bytes stored, "
        f"{r.spill_loads} loaded"
        for r in spills
    ]
    lines += [
        *([""] if spills else []),
        "## Registers of a thread, and static shared memory of a block",
        "",
        "| kernel | " + " | ".join(f"sm_{a}" for a in architectures) + " | bytes shared |",
        "|---|" + "---:|" * (len(architectures) + 1),
    ]
    for kernel, on in sorted(by_kernel.items()):
        cells = [str(on[a].registers) if a in on else "" for a in architectures]
        shared = max(r.shared for r in on.values())
        lines.append(f"| `{kernel}` | " + " | ".join([*cells, str(shared)]) + " |")
    return "\n".join(lines) + "\n"


def compiler_of(build: Path) -> str:
    """The nvcc that the folder was configured with."""
    for file in build.rglob("CMakeCUDACompiler.cmake"):
        if match := re.search(r'CMAKE_CUDA_COMPILER_VERSION "([\d.]+)"', file.read_text("utf-8")):
            return f"nvcc {match[1]}"
    return "nvcc"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", type=Path, help="where CMake has built")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the report goes")
    options = parser.parse_args()
    logs = sorted(options.build.rglob("*.cu.o.log"))
    found = sorted({r for log in logs for r in read_log(log.read_text(encoding="utf-8"))})
    if not found:
        parser.error(f"{options.build}: expected logs of ptxas (*.cu.o.log), found none")
    names = readable(r.kernel for r in found)
    resources = sorted(replace(r, kernel=name) for r, name in zip(found, names))
    report = table(resources, compiler_of(options.build))
    (options.output / "cuda_resources.md").write_text(report, encoding="utf-8")
    print(report, end="")
    sys.exit(any(r.spill_stores or r.spill_loads for r in resources))


if __name__ == "__main__":
    main()
