"""Finds the command, and turns what it raises into one line and an exit code."""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import itertools
import os
import sys
from collections.abc import Sequence

import internvl_native
from internvl_native.cli.errors import UsageError, error_line

COMMANDS = {
    "chat": "ask about images, once or in a conversation",
    "describe": "ask the same about many images, into a JSONL file",
    "info": "show what a checkpoint is, without loading its weights",
    "run": "run a Python program that uses transformers, unedited, on native models",
    "tiles": "show the tiles that an image is cut into",
    "bench": "measure the speed of a checkpoint on this machine",
    "demo": "see a small model that comes with the package answer questions about drawings",
}

FAILURE = 1
USAGE = 2
INTERRUPTED = 128 + 2  # what shells report for SIGINT
BROKEN_PIPE = 128 + 13  # and for SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code. Usage errors leave through SystemExit(2)."""
    for name in ("stdin", "stdout", "stderr"):  # a daemon may have closed them
        if getattr(sys, name) is None:
            nothing = open(os.devnull, "r" if name == "stdin" else "w")  # noqa: SIM115
            setattr(sys, name, nothing)
    try:
        return _run(*_command(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return INTERRUPTED


def _command(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command and its arguments; options in front of it are ours."""
    options = list(itertools.takewhile(lambda argument: argument.startswith("-"), argv))
    parser = _main_parser()
    parser.parse_args(options)
    if len(options) == len(argv):
        parser.print_help(sys.stderr)
        parser.exit(USAGE)
    command, *arguments = argv[len(options) :]
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(COMMANDS)}"
        parser.error(f"no command {command!r}: {advice}")
    return command, arguments


def _main_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {line}" for name, line in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="internvl-native",
        usage="%(prog)s [--help] [--version] COMMAND ...",
        description=f"InternVL-Chat-V1.5 on a native engine.\n\ncommands:\n{commands}",
        epilog="internvl-native COMMAND --help explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"internvl-native {internvl_native.__version__}"
    parser.add_argument("--version", action="version", version=version)
    return parser


def _run(command: str, argv: Sequence[str]) -> int:
    module = importlib.import_module(f"internvl_native.cli.{command}")
    parser = argparse.ArgumentParser(
        prog=f"internvl-native {command}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = _parse(parser, argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # where a character has no place, its code does
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = module.run(arguments)
        sys.stdout.flush()  # a closed pipe shows here and not while the interpreter ends
        return code
    except BrokenPipeError:
        code = BROKEN_PIPE
    except UsageError as error:
        parser.error(str(error))
    except (OSError, ValueError, TypeError, IndexError, MemoryError) as error:
        if arguments.debug:
            raise
        print(f"{parser.prog}: {error_line(error)}", file=sys.stderr)
        code = FAILURE
    _flush_or_drop()
    return code


def _flush_or_drop() -> None:
    """Drops what cannot be written to stdout, which the interpreter would complain about."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    try:
        return parser.parse_intermixed_args(argv)  # options before, between and after arguments
    except TypeError:  # which argparse cannot do where the rest of the line is another program's
        return parser.parse_args(argv)
