"""`python -m docs.screenshots` draws the README's pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image
from tests.support.command_line import environment
from tests.support.extras import optional

ROOT = Path(__file__).resolve().parents[2]

optional("rich", "docs")


def draw(output: Path) -> str:
    """The drawn conversation."""
    command = [sys.executable, "-m", "docs.screenshots", "--output", str(output)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment(), timeout=300)
    return (output / "chat.svg").read_text(encoding="utf-8")


def test_screenshots(tmp_path: Path) -> None:
    drawn = draw(tmp_path / "first")
    for shown in ("internvl-native", "/image", "page_zh.png", "4127", "柠檬"):
        assert shown in drawn
    assert draw(tmp_path / "second") == drawn
    for file in (tmp_path / "first").iterdir():
        assert file.stat().st_size < 300_000
    with Image.open(tmp_path / "first" / "tiles.jpg") as picture:
        assert picture.width > 800
