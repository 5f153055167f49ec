"""Fixtures of the text tests: the golden checkpoints' tokenizers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from internvl_native.tokenization import AutoTokenizer, PreTrainedTokenizer

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizer:
    """A fresh tokenizer: its vocabulary has 2193 pieces and 9 tokens beyond them."""
    return AutoTokenizer.from_pretrained(DATA / "ckpt_ntk", trust_remote_code=True, use_fast=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tokenizer's files, free to be damaged."""
    for file in (DATA / "ckpt_ntk").iterdir():
        if file.name != "model.safetensors":
            shutil.copy(file, tmp_path)
    return tmp_path
