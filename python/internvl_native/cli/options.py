"""Options that several commands have."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """Type of a count: an integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return value


def add_max_num(parser: argparse.ArgumentParser) -> None:
    """`--max-num`."""
    parser.add_argument(
        "--max-num", type=positive, default=12, metavar="N",
        help="tiles that an image is cut into, at most (default: %(default)s)",
    )  # fmt: skip
