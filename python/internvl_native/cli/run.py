"""`internvl-native run`: a program of yours, unedited, on this package."""

from __future__ import annotations

import argparse

from internvl_native.programs.run import run_program

EXAMPLES = """\
examples:
  internvl-native run quick_start.py
  internvl-native run -m torch.distributed.run --nproc_per_node=2 eval/vqa/evaluate_vqa.py ...
  torchrun --nproc_per_node=2 -m internvl_native run eval/vqa/evaluate_vqa.py ...

`transformers` gives native models for InternVL-Chat checkpoints and is itself for everything else;
without it the names that internvl_native has can be imported. `internvl`, the package of the
InternVL repository, resolves. Child processes are served, too. On a machine without CUDA, `.cuda()`
stays on the CPU.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.description = "Runs a Python program, unedited, with native models: as `python` does."
    parser.epilog = EXAMPLES
    parser.usage = "%(prog)s [-h] [--debug] (PROGRAM | -m MODULE) [ARGUMENT ...]"
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module's name")
    parser.add_argument("program", metavar="PROGRAM", help="a Python file")
    rest = parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)
    rest.required = False  # without a PROGRAM, argparse would name it, too


def run(arguments: argparse.Namespace) -> int:
    """Becomes the program."""
    option = ["-m"] if arguments.module else []
    run_program([*option, arguments.program, *arguments.arguments])
