"""The calls of edges.json: wrong or odd input, and what comes of it.

Each case is a function of an `Edge`, named as in the file. It returns a JSON value or raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from .implementation import Implementation, load_tiles

CONTEXT = "<IMG_CONTEXT>"


@dataclass
class Edge:
    """A model and a fresh tokenizer, and the inputs that the cases vary."""

    impl: Implementation
    model: Any
    tokenizer: Any

    def tiles(self, count: int) -> np.ndarray:
        """One tile of land.jpg, or two tiles of panorama.jpg and the thumbnail."""
        size = self.model.config.force_image_size
        if count == 1:
            return load_tiles(self.impl, "land.jpg", size)
        return load_tiles(self.impl, "panorama.jpg", size, max_num=2)

    def chat(self, pixels: Any, question: Any, config: Any = None, **keywords: Any) -> Any:
        if config is None:
            config = {"max_new_tokens": 6, "do_sample": False}
        return self.model.chat(self.tokenizer, self._tensor(pixels), question, config, **keywords)

    def batch_chat(
        self, pixels: Any, questions: list[str], config: Any = None, **keywords: Any
    ) -> Any:
        config = {"max_new_tokens": 6, "do_sample": False, **(config or {})}
        return self.model.batch_chat(
            self.tokenizer, self._tensor(pixels), questions, config, **keywords
        )

    def inputs(self, question: str = "<image>\nx") -> tuple[Any, Any]:
        """input_ids and attention_mask of the chat prompt; its <image> stands for one tile."""
        template = self.impl.get_conv_template(self.model.template)
        template.system_message = self.model.system_message
        template.append_message(template.roles[0], question)
        template.append_message(template.roles[1], None)
        image = "<img>" + CONTEXT * self.model.num_image_token + "</img>"
        prompt = template.get_prompt().replace("<image>", image)
        encoded = self.tokenizer(prompt, return_tensors=self.impl.tensors)
        return encoded["input_ids"], encoded["attention_mask"]

    def generate(self, question: str = "<image>\nx", **keywords: Any) -> Any:
        """Three tokens for the prompt; `keywords` replace or, where None, leave out arguments."""
        self.model.img_context_token_id = self.tokenizer.convert_tokens_to_ids(CONTEXT)
        input_ids, attention_mask = self.inputs(question)
        arguments = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "max_new_tokens": 3,
            **keywords,
        }
        given = {key: value for key, value in arguments.items() if value is not None}
        return np.asarray(self.model.generate(**given)).tolist()

    def one_tile(self) -> Any:
        return self.impl.tensor(self.tiles(1))

    def stretched(self, extra: int) -> np.ndarray:
        """One tile with sides longer by `extra`, each pixel the nearest of the original's."""
        tile = self.tiles(1)
        size = tile.shape[-1]
        nearest = np.arange(size + extra) * size // (size + extra)
        return np.ascontiguousarray(tile[:, :, nearest[:, None], nearest[None, :]])

    def _tensor(self, pixels: Any) -> Any:
        return self.impl.tensor(pixels) if isinstance(pixels, np.ndarray) else pixels


def _right_padded(edge: Edge) -> Any:
    edge.tokenizer.padding_side = "right"
    encoded = edge.tokenizer(RIGHT_PADDED, return_tensors=edge.impl.tensors, padding=True)
    return edge.generate(
        input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"], max_new_tokens=4
    )


def _generate_before_chat(edge: Edge) -> Any:
    edge.model.img_context_token_id = None
    input_ids, attention_mask = edge.inputs("x")
    return edge.model.generate(input_ids=input_ids, attention_mask=attention_mask)


def _id_out_of_range(edge: Edge) -> Any:
    ids = np.asarray(edge.inputs("x")[0]).copy()
    ids[0, -1] = 10**6
    return edge.generate("x", input_ids=edge.impl.tensor(ids))


def _all_zero_mask(edge: Edge) -> Any:
    mask = np.zeros_like(np.asarray(edge.inputs("x")[1]))
    return edge.generate("x", attention_mask=edge.impl.tensor(mask))


def _one_dimensional(edge: Edge) -> Any:
    ids, mask = (edge.impl.tensor(np.asarray(array)[0]) for array in edge.inputs())
    return edge.generate(pixel_values=edge.one_tile(), input_ids=ids, attention_mask=mask)


RIGHT_PADDED = ["hello", "a longer text"]

EDGE_CASES: dict[str, Callable[[Edge], Any]] = {
    "list sum above tiles": lambda e: e.chat(e.tiles(3), "<image><image>", num_patches_list=[2, 2]),
    "list sum below tiles": lambda e: e.chat(e.tiles(3), "<image><image>", num_patches_list=[1, 1]),
    "empty list with tiles": lambda e: e.chat(e.tiles(1), "x", num_patches_list=[]),
    "history without image tag": lambda e: e.chat(e.tiles(1), "x", history=[("a", "b")]),
    "empty history without image tag": lambda e: e.chat(e.tiles(1), "x", history=[]),
    "fewer tags than list": lambda e: e.chat(e.tiles(3), "<image>\nx", num_patches_list=[2, 1]),
    "more tags than list": lambda e: e.chat(e.tiles(3), "<image><image>\nx"),
    "IMG_CONTEXT typed by the user": lambda e: e.chat(e.tiles(1), f"a {CONTEXT} b"),
    "IMG_CONTEXT typed, text only": lambda e: e.chat(None, f"a {CONTEXT} b"),
    "zero tiles": lambda e: e.chat(e.tiles(1)[:0], "x"),
    "three-dimensional pixels": lambda e: e.chat(e.tiles(1)[0], "x", num_patches_list=[3]),
    "other tile size": lambda e: e.chat(e.stretched(e.tiles(1).shape[-1]), "x"),
    "tile size not a multiple of 14": lambda e: e.chat(e.stretched(5), "x"),
    "one channel": lambda e: e.chat(np.ascontiguousarray(e.tiles(1)[:, :1]), "x"),
    "bf16 pixels into float32 weights": lambda e: e.chat(e.impl.bfloat16(e.tiles(1)), "x"),
    "numpy pixels": lambda e: e.model.chat(
        e.tokenizer, e.tiles(1), "x", {"max_new_tokens": 6, "do_sample": False}
    ),
    "uint8 pixels": lambda e: e.chat(e.tiles(1).astype(np.uint8), "x"),
    "empty question text only": lambda e: e.chat(None, ""),
    "question None": lambda e: e.chat(None, None),
    "question None with pixels": lambda e: e.chat(e.tiles(1), None),
    "generation_config GenerationConfig object": lambda e: e.chat(
        None, "x", e.impl.generation_config(max_new_tokens=6)
    ),
    "generation_config None": lambda e: e.model.chat(e.tokenizer, None, "x", None),
    "history tuple container": lambda e: e.chat(None, "x", history=(("a", "b"),)),
    "history entry of three": lambda e: e.chat(None, "x", history=[("a", "b", "c")]),
    "history with None answer": lambda e: e.chat(None, "b", history=[("a", None)]),
    "batch_chat history": lambda e: e.batch_chat(None, ["x"], num_patches_list=[0], history=[]),
    "batch_chat return_history": lambda e: e.batch_chat(
        None, ["x"], num_patches_list=[0], return_history=True
    ),
    "batch_chat without list": lambda e: e.batch_chat(None, ["x"]),
    "batch_chat sum above": lambda e: e.batch_chat(e.tiles(3), ["a", "b"], num_patches_list=[2, 2]),
    "batch_chat sum below": lambda e: e.batch_chat(e.tiles(3), ["a", "b"], num_patches_list=[1, 1]),
    "batch_chat swapped split, same sum": lambda e: e.batch_chat(
        e.tiles(3), ["a", "b"], num_patches_list=[1, 2]
    ),
    "batch_chat list longer than questions": lambda e: e.batch_chat(
        e.tiles(3), ["a", "b"], num_patches_list=[1, 1, 1]
    ),
    "batch_chat two tags in a question": lambda e: e.batch_chat(
        e.tiles(3), ["<image><image> x", "y"], num_patches_list=[2, 1]
    ),
    "batch_chat empty": lambda e: e.batch_chat(None, [], num_patches_list=[]),
    "batch_chat num_return_sequences 2, beams 2": lambda e: e.batch_chat(
        e.tiles(3),
        ["x", "y"],
        {"num_beams": 2, "num_return_sequences": 2},
        num_patches_list=[2, 1],
    ),
    "generate before any chat": _generate_before_chat,
    "generate pixels, no IMG_CONTEXT in ids": lambda e: e.generate("x", pixel_values=e.one_tile()),
    "generate without attention_mask": lambda e: e.generate(
        pixel_values=e.one_tile(), attention_mask=None
    ),
    "generate with attention_mask": lambda e: e.generate(pixel_values=e.one_tile()),
    "generate no input_ids": lambda e: e.generate(input_ids=None, attention_mask=None),
    "generate id out of range": _id_out_of_range,
    "generate visual_features": lambda e: e.generate(
        pixel_values=e.one_tile(), visual_features=e.model.extract_feature(e.one_tile())
    ),
    "generate visual_features without pixels": lambda e: e.generate(
        visual_features=e.model.extract_feature(e.one_tile())
    ),
    "generate GenerationConfig object": lambda e: e.generate(
        pixel_values=e.one_tile(),
        max_new_tokens=None,
        generation_config=e.impl.generation_config(max_new_tokens=4),
    ),
    "generate GenerationConfig object with bos": lambda e: e.generate(
        pixel_values=e.one_tile(),
        max_new_tokens=None,
        generation_config=e.impl.generation_config(max_new_tokens=4, bos_token_id=1),
    ),
    "generate attention_mask all zero": _all_zero_mask,
    "generate right padding": _right_padded,
    "generate one-dimensional ids": _one_dimensional,
    "extract_feature 5-D": lambda e: e.model.extract_feature(e.impl.tensor(e.tiles(1)[None])),
}


def run_edge_case(edge: Edge, name: str) -> dict[str, Any]:
    """{"ok", "value"} or {"ok", "type", "message", "exception"}."""
    try:
        return {"ok": True, "value": EDGE_CASES[name](edge)}
    except Exception as error:  # the error is the result
        return {
            "ok": False,
            "type": type(error).__name__,
            "message": str(error),
            "exception": error,
        }
