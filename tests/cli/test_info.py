"""`internvl-native info`: what it says is true of the files and of the engine."""

from __future__ import annotations

import json
from math import prod
from typing import Any

import pytest
from PIL import Image
from tests.support.command_line import run
from tests.support.goldens import DATA, read_safetensors

from internvl_native import AutoModel, load_image

CHECKPOINTS = ["ckpt_layernorm", "ckpt_rmsnorm", "ckpt_ntk"]


def facts(checkpoint: str, *arguments: object) -> dict[str, Any]:
    done = run("info", DATA / checkpoint, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_parameters_and_files(checkpoint: str) -> None:
    shown = facts(checkpoint)
    files = sorted((DATA / checkpoint).glob("*.safetensors"))
    assert shown["files"] == {file.name: file.stat().st_size for file in files}
    stored = [tensor for file in files for tensor in read_safetensors(file).values()]
    assert sum(shown["parameters"].values()) == sum(prod(tensor.shape) for tensor in stored)
    assert set(shown["parameters"]) == {"vision_model", "mlp1", "language_model"}
    weights = shown["memory"]["float32"]["weights"]
    assert weights == 4 * sum(shown["parameters"].values())


def test_tokens_of_images() -> None:
    shown = facts("ckpt_layernorm", "--max-num", 6)
    model = AutoModel.from_pretrained(DATA / "ckpt_layernorm")
    assert shown["num_image_token"] == model.num_image_token
    for image in shown["images"]:
        blank = Image.new("RGB", tuple(image["size"]))
        tiles = len(load_image(blank, shown["tile_size"], max_num=6, return_tensors="np"))
        assert image["tiles"] == tiles
        assert image["tokens"] == tiles * model.num_image_token


def test_keys_and_values_of_a_token() -> None:
    llm = facts("ckpt_rmsnorm")["language_model"]
    numbers = 2 * llm["num_hidden_layers"] * llm["num_key_value_heads"]
    numbers *= llm["hidden_size"] // llm["num_attention_heads"]
    memory = facts("ckpt_rmsnorm")["memory"]
    shown = {dtype: memory[dtype]["key_values_per_token"] for dtype in memory}
    # The arithmetic beside float16 weights is float32.
    assert shown == {"bfloat16": 2 * numbers, "float16": 4 * numbers, "float32": 4 * numbers}


def test_text() -> None:
    done = run("info", DATA / "ckpt_rmsnorm")
    assert (done.returncode, done.stderr) == (0, "")
    for expected in (
        "InternLM2ForCausalLM",
        "internlm2-chat",
        "in 3 files",
        "640 x 480",
        "16 tokens",
    ):
        assert expected in done.stdout


def test_it_downloads_nothing() -> None:
    done = run("info", "OpenGVLab/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("internvl-native info: OpenGVLab/nowhere")
