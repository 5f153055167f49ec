"""Records what the reference answers to the programs of tests/programs.

usage: python -m tests.reference.programs [--write] [NAME ...]

Without --write the answers are compared with the stored ones; names choose some of the programs.
INTERNVL_REPO names the checkout.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.programs.cases import PROGRAMS, Program
from tests.programs.repository_cases import (
    REPOSITORY_PROGRAMS,
    RepositoryProgram,
    results,
    working_folder,
)
from tests.support.goldens import DATA

ROOT = Path(__file__).resolve().parents[2]
FLOAT32 = ROOT / "tests" / "programs" / "float32.py"
STORED: dict[Path, Mapping[str, Program | RepositoryProgram]] = {
    DATA / "extra" / "programs.json": PROGRAMS,
    DATA / "extra" / "repository_programs.json": REPOSITORY_PROGRAMS,
}
CHILD = "--child"


def answers_of(program: Program | RepositoryProgram) -> Any:
    """What the program writes, run in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if isinstance(program, Program):
            _start(program.command(folder / "answers.json"), folder)
            return json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        program.lay_out(folder)
        command = program.command(Path(os.environ["INTERNVL_REPOSITORY"]))
        _start(command, working_folder(folder, program.script))
        answers = results(folder)
    if not answers:
        raise RuntimeError(f"{program.script} wrote no results")
    return answers


def _start(command: list[str], folder: Path) -> None:
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "WORLD_SIZE": "1", "RANK": "0"}
    environment = {**os.environ, **group, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.reference.programs", CHILD, *command]
    subprocess.run(command, check=False, cwd=folder, env=environment)


def run_on_reference(command: list[str]) -> None:
    """Becomes the program, on the reference and on the CPU."""
    sys.path.insert(0, str(ROOT / "python"))
    import tests.reference.torch_reference  # noqa: F401, I001  # makes `internvl` importable
    from internvl.model.internlm2.tokenization_internlm2 import InternLM2Tokenizer
    from internvl.model.internvl_chat import InternVLChatConfig, InternVLChatModel
    from internvl_native.programs.cuda import stay_on_cpu
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    stay_on_cpu()
    AutoConfig.register("internvl_chat", InternVLChatConfig)
    AutoModel.register(InternVLChatConfig, InternVLChatModel)
    # The checkpoints name remote code for their tokenizers: the repository's is the same.
    AutoTokenizer.from_pretrained = lambda path, **_: InternLM2Tokenizer.from_pretrained(path)
    sys.argv = [str(FLOAT32), *command]
    runpy.run_path(str(FLOAT32), run_name="__main__")


def main() -> int:
    if sys.argv[1:2] == [CHILD]:
        run_on_reference(sys.argv[2:])
        return 0
    os.environ["INTERNVL_REPOSITORY"] = os.path.abspath(os.environ["INTERNVL_REPO"])
    os.environ["INTERNVL_REPO"] = os.environ["INTERNVL_REPOSITORY"]
    chosen = [name for name in sys.argv[1:] if name != "--write"]
    different = []
    for path, programs in STORED.items():
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        answers = {
            name: answers_of(program)
            for name, program in programs.items()
            if not chosen or name in chosen
        }
        different += [name for name in answers if answers[name] != stored.get(name)]
        if "--write" in sys.argv:
            path.write_text(json.dumps({**stored, **answers}, indent=1) + "\n", encoding="utf-8")
    print("different: " + ", ".join(different) if different else "all programs agree")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
