"""Makes the pictures of docs/images: the tiles of an image, and a conversation at a terminal.

    python -m docs.screenshots [--checkpoint NAME] [--images FILE FILE] [--output FOLDER]

The conversation is a real one: `internvl-native chat` runs on a terminal of its own, and what it
shows is drawn. The same checkpoint and images give the same files.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path

from rich.console import Console
from rich.text import Text
from tests.support.command_line import COMMAND, environment
from tests.support.terminal import Terminal

from internvl_native import show_tiles
from internvl_native.demo import CHECKPOINT, PICTURES

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
COLUMNS = 84
_NO_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")  # escape sequences other than styles


def main() -> None:
    """Draws both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--tiles", metavar="FILE", default=DATA / "images" / "land.jpg")
    parser.add_argument(
        "--images", nargs=2, metavar="FILE",
        default=[PICTURES / "page.png", PICTURES / "page_zh.png"],
    )  # fmt: skip
    parser.add_argument("--questions", nargs=2, default=["What is the Room?", "姓名是什么?"])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args()

    arguments.output.mkdir(exist_ok=True)
    show_tiles(arguments.tiles).save(arguments.output / "tiles.jpg")
    shown = conversation(arguments.checkpoint, arguments.images, arguments.questions)
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(shown))
    console.save_svg(str(arguments.output / "chat.svg"), title="internvl-native")


def conversation(checkpoint: str, images: list[str], questions: list[str]) -> str:
    """What a terminal shows, styles included, of a question about each image."""
    folder = os.path.commonpath(list(map(os.path.dirname, map(os.path.abspath, images))))
    first, second = (os.path.relpath(path, folder) for path in images)
    # Short, and without the times, which differ from run to run.
    command = ["chat", checkpoint, "--image", first, "--max-new-tokens", "40", "--no-stats"]
    with Terminal([*COMMAND, *command], environment(), cwd=folder) as terminal:
        for line in (questions[0], f"/image {second}", questions[1]):
            terminal.expect("\n> ")
            terminal.type(f"{line}\r")
            terminal.expect(f"{line}\n")
        terminal.expect("\n> ")
        shown = _NO_STYLE.sub("", terminal.raw).replace("\r", "")
    prompt_end = shown.rindex("> ") + len("> ")  # what follows may have come in part only
    return f"$ {shlex.join(['internvl-native', *command])}\n{shown[:prompt_end]}"


if __name__ == "__main__":
    main()
