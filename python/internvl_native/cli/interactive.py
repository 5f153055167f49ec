"""A conversation at the terminal."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from pathlib import Path

from internvl_native import num_threads
from internvl_native.cli import line_editing
from internvl_native.cli.answer import AnswerStyle, show_answer
from internvl_native.cli.dialogue import Dialogue
from internvl_native.cli.errors import error_line
from internvl_native.cli.images import ImageLoader, TiledImage
from internvl_native.cli.terminal import Style, printable
from internvl_native.units import plural

HELP = {
    "/image": "FILE|URL ...  add images, which the next question is about; alone: list them",
    "/system": "[TEXT]       set the system message, or show it",
    "/reset": "             forget the conversation and its images",
    "/help": "              this list",
    "/exit": "              leave, as Ctrl-D does",
}
KEYS = """\
<image> in a question stands for a new image; without it, they come first. A line that ends with \\
goes on in the next. Ctrl-C stops an answer."""


def converse(dialogue: Dialogue, loader: ImageLoader, answers: AnswerStyle) -> int:
    """Reads questions and commands until Ctrl-D or /exit; returns the exit code 0."""
    return _Session(dialogue, loader, answers).run()


class _Session:
    def __init__(self, dialogue: Dialogue, loader: ImageLoader, answers: AnswerStyle) -> None:
        self.dialogue = dialogue
        self.loader = loader
        self.answers = answers
        self.style = Style(sys.stdout)

    def run(self) -> int:
        line_editing.enable(HELP)
        self._greet()
        while True:
            try:
                line = self._read()
            except KeyboardInterrupt:
                self._note("\nCtrl-D or /exit leaves")
                continue
            except EOFError:
                print()
                return 0
            if line == "/exit":
                return 0
            try:
                self._handle(line)
            except KeyboardInterrupt:
                self._note("\nstopped")
            except (OSError, ValueError, MemoryError) as error:
                print(self.style.red(printable(error_line(error))))

    def _greet(self) -> None:
        model = self.dialogue.model
        name, threads = Path(model.name_or_path).resolve().name, plural(num_threads(), "thread")
        print(f"{self.style.bold(name)}  {model.dtype} on {model.backend}, {threads}")
        self._note("Ask a question. /help lists the commands, Ctrl-D leaves.")
        self._list_images()

    def _read(self) -> str:
        """One input, which may be several lines."""
        lines = [input(self.style.prompt("> "))]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(self.style.prompt(". ")))
        return "\n".join(lines).strip()

    def _handle(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        if command == "/image":
            self._images(rest.strip())
        elif command == "/system":
            self._system(rest.strip())
        elif command == "/reset":
            self.dialogue.reset()
            self._note("a new conversation")
        elif command == "/help":
            for name, text in HELP.items():
                print(f"  {self.style.bold(name)} {text}")
            self._note(KEYS)
        elif re.fullmatch("/[a-z]+", command):
            close = difflib.get_close_matches(command, HELP, n=1)
            advice = f"did you mean {close[0]}?" if close else "/help lists the commands"
            raise ValueError(f"no command {command}: {advice}")
        elif line:
            show_answer(self.dialogue, line, self.answers)

    def _images(self, text: str) -> None:
        images = self.dialogue.images
        known = len(images) if text else 0
        images += [self.loader.load(name) for name in _names(text)]
        if not images:
            self._note("no images")
        self._list_images(known)

    def _list_images(self, begin: int = 0) -> None:
        tokens = self.dialogue.model.num_image_token
        for number, image in enumerate(self.dialogue.images[begin:], begin + 1):
            self._note(f"Image-{number}: {_describe(image, tokens)}")

    def _system(self, text: str) -> None:
        if text:
            self.dialogue.model.system_message = text
        print(printable(self.dialogue.model.system_message))

    def _note(self, text: str) -> None:
        print(self.style.dim(text))


def _describe(image: TiledImage, num_image_token: int) -> str:
    tiles, tokens = plural(image.tiles, "tile"), plural(image.tiles * num_image_token, "token")
    return f"{printable(image.name)}, {tiles}, {tokens}"


def _names(text: str) -> list[str]:
    """File names as typed or dragged into the terminal, which quotes them for a shell."""
    path = os.path.expanduser(text)
    if os.path.isfile(path):
        return [path]
    try:
        return [os.path.expanduser(name) for name in shlex.split(text)]
    except ValueError:
        return [path]
