"""Records what the reference answers to the programs of tests/programs.

usage: python -m tests.reference.programs [--write]

Without --write the answers are compared with the stored ones.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.programs.cases import PROGRAMS, Program
from tests.support.goldens import DATA

ROOT = Path(__file__).resolve().parents[2]
FLOAT32 = ROOT / "tests" / "programs" / "float32.py"
STORED = DATA / "extra" / "programs.json"
CHILD = "--child"


def answers_of(program: Program, folder: Path) -> Any:
    """What the program writes, run in a process of its own."""
    path = folder / "answers.json"
    command = [sys.executable, "-m", "tests.reference.programs", CHILD, *program.command(path)]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "WORLD_SIZE": "1", "RANK": "0"}
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **group})
    return json.loads(path.read_text(encoding="utf-8"))


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
    with tempfile.TemporaryDirectory() as folder:
        answers = {name: answers_of(program, Path(folder)) for name, program in PROGRAMS.items()}
    if "--write" in sys.argv:
        STORED.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
        return 0
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    different = [name for name in PROGRAMS if answers[name] != stored.get(name)]
    print("different: " + ", ".join(different) if different else "all programs agree")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
