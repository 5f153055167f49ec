"""A model, its tokenizer, and calls with everything right but what a case replaces."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.goldens import DATA

import internvl_native

CHECKPOINT = DATA / "ckpt_rmsnorm"
OTHER = DATA / "ckpt_ntk"
IMAGES = DATA / "images"
SIDE, IMAGE_TOKENS, WIDTH = 112, 16, 128  # of CHECKPOINT: a tile, its tokens, the language model


class Bench:
    """What the cases call.

    Attributes:
        model: CHECKPOINT in float32.
        tokenizer: its tokenizer.
        input_ids: (1, length), a text without images.
    """

    def __init__(self) -> None:
        self.model = internvl_native.AutoModel.from_pretrained(CHECKPOINT)
        self.tokenizer = internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)
        self.input_ids = np.asarray([self.tokenizer("hello")["input_ids"]])
        self.model.img_context_token_id = self.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        self._answer = self.answer()

    def chat(self, pixel_values: Any = None, question: Any = "x", **keywords: Any) -> Any:
        config = keywords.pop("generation_config", {"max_new_tokens": 2})
        tokenizer = keywords.pop("tokenizer", self.tokenizer)
        return self.model.chat(tokenizer, pixel_values, question, config, **keywords)

    def options(self, **options: Any) -> Any:
        """A chat with these options of generation."""
        return self.chat(generation_config={"max_new_tokens": 2, **options})

    def batch(self, pixel_values: Any, questions: Any, counts: Any = None, **keywords: Any) -> Any:
        config = keywords.pop("generation_config", {"max_new_tokens": 2})
        tokenizer = keywords.pop("tokenizer", self.tokenizer)
        return self.model.batch_chat(
            tokenizer, pixel_values, questions, config, num_patches_list=counts, **keywords
        )

    def generate(self, **keywords: Any) -> Any:
        return self.model.generate(**{"input_ids": self.input_ids, "max_new_tokens": 2, **keywords})

    def forward(self, **keywords: Any) -> Any:
        return self.model(**{"input_ids": self.input_ids, **keywords})

    def answer(self) -> str:
        """Of a call with nothing wrong."""
        answer: str = self.chat(pixels(), "What?")
        return answer

    def refuses(
        self, call: Callable[[Bench], Any], error: type[BaseException], message: str
    ) -> None:
        """Asserts that the call raises exactly this error, and leaves the model as it was."""
        with pytest.raises(error, match=message) as raised:
            call(self)
        assert raised.type is error
        assert self.answer() == self._answer


Table = dict[str, tuple[Callable[[Bench], Any], type[BaseException], str]]


def pixels(*shape: int) -> npt.NDArray[np.float32]:
    """Pixel values, of one tile if there is no shape."""
    return np.zeros(shape or (1, 3, SIDE, SIDE), np.float32)


def image_ids(tiles: int = 1) -> npt.NDArray[np.int64]:
    """Ids of the image tokens of some tiles."""
    tokenizer = internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)
    token = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    return np.full((1, tiles * IMAGE_TOKENS), token, np.int64)
