"""Recomputes files of tests/data with the reference, and compares or writes them.

python -m tests.reference.regenerate chat tiling            compares these topics with tests/data
python -m tests.reference.regenerate --data DIR --write chat    fills in DIR/chat.json
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.goldens import DATA, read_json, read_safetensors, write_safetensors

TOPICS = sorted(path.stem for path in (Path(__file__).parent / "topics").glob("[a-z]*.py"))


def versions() -> dict[str, str]:
    import PIL
    import sentencepiece
    import torch
    import torchvision
    import transformers

    modules = (torch, torchvision, transformers, sentencepiece, np, PIL)
    return {module.__name__: module.__version__ for module in modules}


def read(path: Path) -> Any:
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    return {key: value for key, value in read_json(path).items() if key != "meta"}


def write(path: Path, content: dict[str, Any]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, **content)
    elif path.suffix == ".safetensors":
        write_safetensors(path, content)
    else:
        text = json.dumps({"meta": {"versions": versions()}, **content}, separators=(",", ":"))
        path.write_text(text + "\n", encoding="utf-8")


def differences(new: Any, old: Any, where: str = "") -> list[str]:
    """Paths at which `new` differs from `old`; floats may differ by rounding (1e-4 relative)."""
    if isinstance(old, dict) and isinstance(new, dict):
        missing = [f"{where}/{key}: only on one side" for key in sorted(set(old) ^ set(new))]
        return missing + [
            line
            for key in old
            if key in new
            for line in differences(new[key], old[key], f"{where}/{key}")
        ]
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        if len(old) != len(new):
            return [f"{where}: {len(new)} entries, stored {len(old)}"]
        pairs = enumerate(zip(new, old))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{where}/{i}")]
    if isinstance(old, np.ndarray):
        if new.shape != old.shape:
            return [f"{where}: shape {new.shape}, stored {old.shape}"]
        if np.array_equal(new, old):
            return []
        if not np.allclose(new, old, rtol=1e-4, atol=1e-5 * np.abs(old[np.isfinite(old)]).max()):
            return [f"{where}: largest difference {np.abs(new - old).max()}"]
        print(f"{where}: equal to rounding, not to the bit")
        return []
    if isinstance(old, float) and isinstance(new, float):
        return (
            []
            if math.isclose(new, old, rel_tol=1e-4, abs_tol=1e-6)
            else [f"{where}: {new}, stored {old}"]
        )
    return [] if new == old else [f"{where}: {new!r:.150}, stored {old!r:.150}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topics", nargs="*", metavar="topic", help=", ".join(TOPICS))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of files and checkpoints")
    parser.add_argument("--write", action="store_true", help="replace the files")
    arguments = parser.parse_args()
    for topic in arguments.topics:
        if topic not in TOPICS:
            parser.error(f"no topic {topic!r}; there are {', '.join(TOPICS)}")

    from tests.reference.torch_reference import TorchReference

    failed = 0
    for topic in arguments.topics or TOPICS:
        module = importlib.import_module(f"tests.reference.topics.{topic}")
        for name, content in module.regenerate(TorchReference(), arguments.data).items():
            path = arguments.data / name
            if arguments.write:
                write(path, content)
                print(f"{topic}: wrote {path}")
                continue
            if path.suffix == ".json":  # tuples and the like become what JSON makes of them
                content = json.loads(json.dumps(content))
            found = differences(content, read(path))
            print(f"{topic}: {name} " + (f"differs in {len(found)} places" if found else "agrees"))
            print("".join(f"  {line}\n" for line in found[:10]), end="")
            failed += bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
