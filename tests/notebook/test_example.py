"""examples/internvl_native.ipynb runs from top to bottom, and shows what the Python API returns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES

nbformat = optional("nbformat", "test-extras")
nbclient = optional("nbclient", "test-extras")
optional("ipykernel", "notebook")

EXAMPLES = DATA.parents[1] / "examples"
SHOW_PROGRESS = """\
from internvl_native import progress
progress._DELAY = 0.0
AutoModel.from_pretrained(CHECKPOINT)"""
SHOW_RESULTS = """\
import json
print(json.dumps([history[0][1], follow_up, comparison, streamed, output.logprobs.tolist()]))"""


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(EXAMPLES / "internvl_native.ipynb", as_version=4)


def test_stored_without_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.execution_count, cell.outputs) for cell in code] == [(None, [])] * len(code)


@pytest.fixture(scope="module")
def cells(notebook: Any) -> list[Any]:
    """The code cells after a run, then a slow load and one that prints the results."""
    executed = nbformat.from_dict(notebook)
    executed.cells += map(nbformat.v4.new_code_cell, (SHOW_PROGRESS, SHOW_RESULTS))
    resources = {"metadata": {"path": str(EXAMPLES)}}
    nbclient.NotebookClient(
        executed, timeout=300, kernel_name="python3", resources=resources
    ).execute()
    return [cell for cell in executed.cells if cell.cell_type == "code"]


def test_answers_equal_the_apis(cells: list[Any]) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    config = {"max_new_tokens": 64}
    page, circle, star, shapes = (
        load_image(PICTURES / f"{name}.png", 112, return_tensors="np")
        for name in ("page", "circle", "star", "shapes")
    )
    first, history = model.chat(tokenizer, page, "What is the Room?", config, return_history=True)
    follow_up = model.chat(tokenizer, page, "What is the Level?", config, history=history)
    comparison = model.chat(
        tokenizer,
        np.concatenate([circle, star]),
        "Image-1: <image>\nImage-2: <image>\nWhat is in Image-2?",
        config,
        num_patches_list=[len(circle), len(star)],
    )
    streamed = model.chat(tokenizer, shapes, "请描述这张图片。", config)
    *answers, logprobs = json.loads(cells[-1].outputs[0].text)
    assert answers == [first, follow_up, comparison, streamed]
    assert answers[:3] == ["4127", "bridge", "a purple star"]
    _, output = model.chat(tokenizer, page, "What is the Phone?", config, return_output=True)
    assert logprobs == output.logprobs.tolist()


def test_every_cell_shows_something(cells: list[Any]) -> None:
    imports, model, tiles, *others = cells
    assert imports.outputs == []
    assert "InternVLChatModel" in model.outputs[-1].data["text/plain"]
    assert "image/png" in tiles.outputs[0].data
    assert all(cell.outputs for cell in others)
    assert not [
        output for cell in cells[:-2] for output in cell.outputs if output.get("name") == "stderr"
    ]


def test_slow_loads_show_a_bar(cells: list[Any]) -> None:
    assert "Loading weights" in str(cells[-2].outputs)
