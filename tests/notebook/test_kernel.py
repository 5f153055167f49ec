"""A notebook in a real kernel: pictures, streams and tables appear under the cells."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA

nbformat = optional("nbformat", "test-extras")
nbclient = optional("nbclient", "test-extras")
optional("ipykernel", "notebook")

CELLS = (
    f"""\
from internvl_native import AutoModel, AutoTokenizer, TextStreamer, load_image, show_tiles
image = {str(DATA / "images" / "port.jpg")!r}
model = AutoModel.from_pretrained({str(DATA / "ckpt_layernorm")!r}, torch_dtype="auto")
tokenizer = AutoTokenizer.from_pretrained({str(DATA / "ckpt_layernorm")!r})""",
    "model",
    "show_tiles(image)",
    """\
streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
options = {"max_new_tokens": 8, "streamer": streamer}
answer = model.chat(tokenizer, load_image(image, max_num=1), "What?", options)""",
    "answer",
)


@pytest.fixture(scope="module")
def outputs() -> list[Any]:
    """The outputs of each cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_model_is_a_table(outputs: list[Any]) -> None:
    (shown,) = outputs[1]
    assert "language_model" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("InternVLChatModel(")


def test_tiles_are_a_picture(outputs: list[Any]) -> None:
    (shown,) = outputs[2]
    assert len(shown.data["image/png"]) > 10000


def test_an_answer_streams(outputs: list[Any]) -> None:
    assert {output.name for output in outputs[3]} == {"stdout"}
    streamed = "".join(output.text for output in outputs[3])
    answer = ast.literal_eval(outputs[4][0].data["text/plain"])
    assert streamed.strip() == answer
