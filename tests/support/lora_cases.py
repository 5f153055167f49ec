"""What the LoRA cases ask of a model that has adapters in it (lora.json)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .chat_cases import recorded_generate
from .implementation import Implementation, load_tiles

QUESTION = "<image>\nWhere was this taken?"


def answers_of(
    impl: Implementation, model: Any, tokenizer: Any
) -> tuple[str, dict[str, np.ndarray]]:
    """The answer to a question about a picture, and arrays on the way: the picture's features and
    the scores of the first token."""
    size = model.config.force_image_size
    pixel_values = impl.tensor(load_tiles(impl, "land.jpg", size, max_num=2))
    impl.renew(model)
    with recorded_generate(model) as calls:
        config = {"max_new_tokens": 16, "do_sample": False}
        response = model.chat(tokenizer, pixel_values, QUESTION, config)
    impl.renew(model)
    output = model.generate(
        pixel_values=pixel_values,
        **calls[0]["inputs"],
        max_new_tokens=1,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    arrays = {"features": model.extract_feature(pixel_values), "scores": output.scores[0]}
    return response, {name: impl.array(array) for name, array in arrays.items()}
