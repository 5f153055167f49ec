"""Measures the engine's stages against this machine's ceilings and against other engines.

examples:
  python -m benchmarks                              # every stage and every peer that is installed
  python -m benchmarks vit-1 decode-320 --peers openvino llama.cpp
  python -m benchmarks --threads 1 2 --dtype bfloat16 float32 --json results.json
  INTERNVL_REPO=../InternVL python -m benchmarks --python reference=../venv/bin/python

Each engine has a process of its own; all run a stage in turns, many times, and the ceilings are
measured beside every run. Results are kept after each stage: the same command goes on where an
earlier one was interrupted. Peers come with pip install '.[bench]'.
"""

from __future__ import annotations

import argparse
import shlex
from datetime import date
from pathlib import Path

from internvl_native import num_threads

from . import checkpoint
from .machine import machine
from .peers import PEERS
from .process import EngineError
from .results import Results
from .runner import Pass, Plan
from .stages import BY_NAME, ELEMENT_BYTES, STAGES, Stage
from .table import document

JSON = Path("build/benchmarks/results.json")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "stages", nargs="*", metavar="stage", type=_stage, default=STAGES,
        help="all if left out: " + ", ".join(BY_NAME),
    )  # fmt: skip
    parser.add_argument(
        "--peers", nargs="*", choices=PEERS, default=PEERS, metavar="PEER",
        help=f"all if left out, none without names: {', '.join(PEERS)}",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, nargs="+", default=[num_threads()], metavar="N")
    parser.add_argument("--dtype", nargs="+", choices=list(ELEMENT_BYTES), default=["bfloat16"])
    parser.add_argument("--shape", choices=sorted(checkpoint.SHAPES), default="2b")
    parser.add_argument("--json", type=Path, default=JSON, help="default: %(default)s")
    parser.add_argument("--again", action="store_true", help="also what the file has already")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FOLDER",
        help="where random weights are kept; a temporary folder if left out",
    )  # fmt: skip
    parser.add_argument(
        "--budget", type=float, default=150, metavar="SECONDS",
        help="after which a slow stage has no third round (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="fewer of them than a stage has")
    parser.add_argument(
        "--python", action="append", default=[], type=_interpreter, metavar="PEER=PYTHON",
        help="the interpreter that has the peer",
    )  # fmt: skip
    return parser


def _stage(name: str) -> Stage:
    if name not in BY_NAME:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(BY_NAME)}, got {name!r}")
    return BY_NAME[name]


def _command(arguments: argparse.Namespace) -> str:
    """What repeats the measurement elsewhere: no path of this machine is in it."""
    words = ["python", "-m", "benchmarks"]
    if arguments.stages != STAGES:
        words += [stage.name for stage in arguments.stages]
    for option in ("peers", "threads", "dtype", "shape", "budget", "rounds"):
        value = vars(arguments)[option]
        if value != _parser().get_default(option):
            words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _interpreter(text: str) -> tuple[str, str]:
    peer, equals, python = text.partition("=")
    if not equals or peer not in PEERS:
        raise argparse.ArgumentTypeError(f"expected PEER=PYTHON, got {text!r}")
    return peer, python


def main() -> None:
    arguments = _parser().parse_args()
    path: Path = arguments.json
    path.parent.mkdir(parents=True, exist_ok=True)
    results = Results(machine(), arguments.shape)
    if path.exists():
        results = Results.load(path)
        if (results.machine, results.shape) != (machine(), arguments.shape):
            raise SystemExit(f"{path}: of another machine or shape; name another file with --json")
    for known, new in (
        (results.commands, _command(arguments)),
        (results.dates, date.today().isoformat()),
    ):
        if new not in known:
            known.append(new)
    with checkpoint.written(arguments.checkpoint, arguments.shape) as folder:
        plan = Plan(
            arguments.stages, arguments.peers, folder, arguments.budget, arguments.rounds,
            arguments.again, dict(arguments.python),
        )  # fmt: skip
        try:
            for dtype in arguments.dtype:
                for threads in arguments.threads:
                    Pass(plan, results, path, dtype, threads).run()
        except EngineError as error:
            raise SystemExit(f"{error}; what was measured before is in {path}") from error
    print(document(results))


if __name__ == "__main__":
    main()
