"""The README's programs run: all of them, one after another, as a reader would paste them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
# What the README names, and what stands for it here.
STAND_INS = {
    "OpenGVLab/Mini-InternVL-Chat-2B-V1-5": str(DATA / "ckpt_layernorm"),
    "coffee.jpg": str(DATA / "images" / "land.jpg"),
    "cat.jpg": str(DATA / "images" / "port.jpg"),
    "max_new_tokens=512": "max_new_tokens=4",
    "max_num=12": "max_num=2",
}


def python_blocks() -> list[tuple[int, str]]:
    """(line, code) of every python block."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(1)), match[1])
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    for frame in DATA.glob("images/frame*.jpg"):
        (tmp_path / frame.name).symlink_to(frame)
    return tmp_path


def test_python_blocks_run(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = python_blocks()
    assert len(blocks) >= 7
    namespace: dict[str, object] = {}
    for line, code in blocks:
        if "import torch" in code and importlib.util.find_spec("torch") is None:
            continue
        for name, stand_in in {**STAND_INS, "video.mp4": str(video)}.items():
            code = code.replace(name, stand_in)
        # Blank lines in front make a traceback show the README's line numbers.
        exec(compile("\n" * line + code, "README.md", "exec"), namespace)
    assert capsys.readouterr().out
