"""The programs that tests run on the package and tests/reference/programs.py on the reference."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.support.goldens import DATA

SCRIPTS = Path(__file__).parent / "scripts"
IMAGES = DATA / "images"


class Program(NamedTuple):
    """A script of `scripts/`; it writes a JSON object, its answers, to a file."""

    script: str
    checkpoint: str
    task: str = ""
    options: tuple[str, ...] = ()

    def command(self, answers: Path) -> list[str]:
        """The script with its arguments."""
        paths = [str(DATA / self.checkpoint), str(IMAGES), str(answers)]
        if self.task:
            names = ("--checkpoint", "--images", "--answers")
            pairs = [part for pair in zip(names, paths) for part in pair]
            paths = ["--task", self.task, *pairs, *self.options]
        return [str(SCRIPTS / self.script), *paths]


PROGRAMS = {
    "quick start": Program("quick_start.py", "ckpt_layernorm"),
    "model worker": Program("model_worker.py", "ckpt_rmsnorm"),
    "generate server": Program("generate_server.py", "ckpt_rmsnorm"),
    "harness": Program("harness.py", "ckpt_rmsnorm"),
    "caption": Program("evaluate.py", "ckpt_rmsnorm", "caption", ("--num-beams", "3")),
    "vqa": Program("evaluate.py", "ckpt_layernorm", "vqa", ("--dynamic", "--max-num", "2")),
    "mme": Program("evaluate.py", "ckpt_rmsnorm", "mme", ("--dynamic",)),
    "pope": Program("evaluate.py", "ckpt_rmsnorm", "pope"),
    "mmvet": Program("evaluate.py", "ckpt_rmsnorm", "mmvet", ("--dynamic",)),
    "mmmu": Program("evaluate.py", "ckpt_rmsnorm", "mmmu", ("--dynamic", "--max-num", "12")),
    "refcoco": Program("evaluate.py", "ckpt_rmsnorm", "refcoco", ("--dynamic",)),
    "mvbench": Program("evaluate.py", "ckpt_rmsnorm", "mvbench", ("--max-num", "1")),
}
