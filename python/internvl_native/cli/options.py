"""Options that several commands have, and what they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from internvl_native.tiling import MAX_TILES

DTYPES = ("auto", "bfloat16", "float16", "float32")


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL, `--dtype`, `--adapter` and `--threads`."""
    parser.add_argument("model", metavar="MODEL", help="checkpoint folder or hub name")
    group = parser.add_argument_group("model")
    group.add_argument(
        "--dtype", choices=DTYPES, default="auto",
        help="of weights and arithmetic (default: that of the checkpoint)",
    )  # fmt: skip
    group.add_argument("--adapter", metavar="FOLDER", help="LoRA adapter to merge into the weights")
    group.add_argument(
        "--threads", type=integer(1), metavar="N", help="default: the CPUs the process may use"
    )


def add_max_num(parser: argparse.ArgumentParser) -> None:
    """`--max-num`."""
    parser.add_argument(
        "--max-num", type=integer(1, MAX_TILES), default=12, metavar="N",
        help="tiles that an image is cut into, at most (default: %(default)s)",
    )  # fmt: skip


def add_generation(parser: argparse.ArgumentParser) -> None:
    """What becomes `generation_config`."""
    group = parser.add_argument_group(
        "answer", "The likeliest tokens, unless one of the first three asks for sampling."
    )
    group.add_argument("--temperature", type=number(0), metavar="T", help="0: do not sample")
    group.add_argument(
        "--top-p", type=number(0, 1), metavar="P",
        help="sample from the likeliest tokens whose probabilities add up to P",
    )  # fmt: skip
    group.add_argument(
        "--top-k", type=integer(1), metavar="K", help="sample from the K likeliest tokens"
    )
    group.add_argument(
        "--seed", type=integer(0), metavar="N", help="of sampling, for the same answer again"
    )
    group.add_argument(
        "--max-new-tokens", type=integer(1), default=1024, metavar="N",
        help="length of an answer, at most (default: %(default)s)",
    )  # fmt: skip
    group.add_argument("--repetition-penalty", type=number(0), metavar="X", help="default: 1")
    group.add_argument("--num-beams", type=integer(1), metavar="N", help="beam search")
    group.add_argument("--system", metavar="TEXT", help="system message instead of the template's")


def generation_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_generation` as `chat` takes them; the seed is `cli.loading`'s."""
    sampling = {name: getattr(arguments, name) for name in ("temperature", "top_p", "top_k")}
    do_sample = arguments.temperature != 0 and any(value for value in sampling.values())
    others = {name: getattr(arguments, name) for name in ("repetition_penalty", "num_beams")}
    wanted = {**sampling, **others} if do_sample else others
    return {
        "max_new_tokens": arguments.max_new_tokens,
        "do_sample": do_sample,
        **{name: value for name, value in wanted.items() if value is not None},
    }


def integer(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """A type for argparse."""
    return _bounded(int, "an integer", lowest, highest)


def number(lowest: float, highest: float | None = None) -> Callable[[str], float]:
    """A type for argparse."""
    return _bounded(float, "a number", lowest, highest)


def _bounded(kind: Any, what: str, lowest: float, highest: float | None) -> Callable[[str], Any]:
    bound = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not lowest <= value <= (value if highest is None else highest):
            raise argparse.ArgumentTypeError(f"expected {what} {bound}, got {text!r}")
        return value

    return parse
