"""examples/internvl_native.ipynb runs from top to bottom, and shows what the Python API returns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA

from internvl_native import AutoModel, AutoTokenizer, load_image

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
    model = AutoModel.from_pretrained(DATA / "ckpt_layernorm", torch_dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(DATA / "ckpt_layernorm")
    names = ("land.jpg", "port.jpg")
    images = [load_image(DATA / "images" / n, max_num=6, return_tensors="np") for n in names]
    config = {"max_new_tokens": 24}
    first, history = model.chat(
        tokenizer, images[0], "What is on the table?", config, return_history=True
    )
    follow_up = model.chat(tokenizer, images[0], "What colour is it?", config, history=history)
    comparison = model.chat(
        tokenizer,
        np.concatenate(images),
        "Image-1: <image>\nImage-2: <image>\nWhat do the images have in common?",
        config,
        num_patches_list=[len(image) for image in images],
    )
    streamed = model.chat(tokenizer, images[0], "Describe the image.", config)
    *answers, logprobs = json.loads(cells[-1].outputs[0].text)
    assert answers == [first, follow_up, comparison, streamed]
    _, output = model.chat(
        tokenizer, images[0], "What is on the table?", config, return_output=True
    )
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
