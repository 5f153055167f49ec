"""What a notebook's cell shows of the package's objects."""

from __future__ import annotations

import html.parser
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA

from internvl_native import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    InternVisionModel,
    InternVLChatConfig,
)
from internvl_native.model_output import ModelOutput

CHECKPOINT = DATA / "ckpt_layernorm"


class Tables(html.parser.HTMLParser):
    """Cells by the name in front of them; every element has to be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: dict[str, str] = {}
        self.name = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "th":
            self.name = data
        elif self.open[-1] == "td":
            self.cells[self.name] = data


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModel.from_pretrained(CHECKPOINT, torch_dtype="float32")


def test_chat_model(model: Any) -> None:
    cells = Tables(model._repr_html_()).cells
    assert cells["checkpoint"] == str(CHECKPOINT)
    assert cells["weights"] == f"1.7 M parameters, float32 on {model.backend}"
    assert cells["language_model"].startswith("InternLM2ForCausalLM, 3 layers of 128, ")
    assert cells["a tile"] == "256 tokens"


def test_vision_model(model: Any) -> None:
    cells = Tables(model.vision_model._repr_html_()).cells
    assert cells["layers"] == "3 layers of 128"
    alone = InternVisionModel.from_pretrained(CHECKPOINT)
    assert Tables(alone._repr_html_()).cells == cells


def test_tokenizer() -> None:
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    cells = Tables(tokenizer._repr_html_()).cells
    assert cells["vocabulary"] == f"{len(tokenizer)} tokens"
    context = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    assert f"<IMG_CONTEXT> {context}" in cells["special tokens"]


def test_configs() -> None:
    config = AutoConfig.from_pretrained(CHECKPOINT)
    cells = Tables(config._repr_html_()).cells
    assert cells["template"] == "internlm2-chat"
    assert cells["vocab_size"] == "2202"  # of the nested config
    assert "num_beams" not in cells  # a default


def test_names_are_escaped() -> None:
    config = InternVLChatConfig(llm_config=AutoConfig.from_pretrained(CHECKPOINT).llm_config)
    config.template = "<script>alert(1)</script>"
    assert "<script>" not in config._repr_html_()
    assert Tables(config._repr_html_()).cells["template"] == config.template


def test_outputs_show_shapes(model: Any) -> None:
    model.img_context_token_id = 5
    output = model.generate(
        input_ids=[[1, 7, 8]], max_new_tokens=2, min_new_tokens=2,
        return_dict_in_generate=True, output_scores=True, output_hidden_states=True,
    )  # fmt: skip
    assert repr(output) == (
        "GenerateDecoderOnlyOutput(\n"
        "  sequences: int64 (1, 3)\n"
        "  scores: 2 x float32 (1, 2202)\n"
        "  hidden_states: 2 x (4 x float32 (1, 3, 128), 4 x float32 (1, 1, 128)))"
    )


def test_outputs_of_other_values() -> None:
    class Output(ModelOutput):
        _fields = ("loss", "empty", "rows")

    output = Output(loss=0.5, empty=(), rows=[np.zeros(2), np.zeros(3)])
    assert repr(output) == (
        "Output(\n  loss: 0.5\n  empty: ()\n  rows: 2 x (float64 (2,), float64 (3,)))"
    )
