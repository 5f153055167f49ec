"""`internvl-native chat`: one question, or a conversation."""

from __future__ import annotations

import argparse
import sys

from internvl_native.cli.answer import AnswerStyle, show_answer
from internvl_native.cli.dialogue import Dialogue
from internvl_native.cli.errors import UsageError
from internvl_native.cli.images import ImageLoader
from internvl_native.cli.interactive import converse
from internvl_native.cli.loading import load, read_config
from internvl_native.cli.options import (
    add_generation,
    add_max_num,
    add_model,
    generation_config,
)

EXAMPLES = """\
examples:
  internvl-native chat MODEL                                  # a conversation
  internvl-native chat MODEL --image photo.jpg                # about an image
  internvl-native chat MODEL --image photo.jpg "What is this?" > answer.txt
  internvl-native chat MODEL --image a.jpg --image https://host/b.png "What differs?"
  internvl-native chat MODEL --temperature 0.8 --seed 1 < question.txt

With a question, stdout gets the answer and nothing else. In a conversation, /help lists the
commands, Ctrl-C stops an answer and Ctrl-D leaves.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.usage = "%(prog)s [options] MODEL [QUESTION]"
    parser.description = "Asks about images, once or in a conversation."
    parser.epilog = EXAMPLES
    add_model(parser)
    parser.add_argument(
        "question", metavar="QUESTION", nargs="?",
        help="default: what is piped in, or a conversation; <image> in it stands for an image",
    )  # fmt: skip
    parser.add_argument(
        "--image", metavar="FILE|URL", action="append", default=[], help="may be given repeatedly"
    )
    add_max_num(parser)
    add_generation(parser)
    parser.add_argument(
        "--no-stream", dest="stream", action="store_false",
        help="show an answer when it is complete; so it is anyway where stdout is no terminal",
    )  # fmt: skip
    parser.add_argument(
        "--no-stats", dest="stats", action="store_false",
        help="leave out the line about tokens and seconds, which only a terminal gets",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Answers the question, or converses."""
    question = _question(arguments)
    loader = ImageLoader(read_config(arguments.model), arguments.max_num)
    images = [loader.load(name) for name in arguments.image]
    model, tokenizer = load(arguments)
    dialogue = Dialogue(model, tokenizer, generation_config(arguments))
    dialogue.images += images
    stats = (sys.stdout if question is None else sys.stderr) if arguments.stats else None
    style = AnswerStyle(arguments.stream, stats)
    if question is None:
        return converse(dialogue, loader, style)
    show_answer(dialogue, question, style)
    return 0


def _question(arguments: argparse.Namespace) -> str | None:
    """From the command line or stdin; None for a conversation."""
    if arguments.question is not None:
        return str(arguments.question)
    if not sys.stdin.isatty():
        question = sys.stdin.read().strip()
        if not question:
            raise UsageError("expected a QUESTION, got nothing on stdin")
        return question
    if not sys.stdout.isatty():
        raise UsageError("expected a QUESTION: a conversation needs a terminal")
    return None
