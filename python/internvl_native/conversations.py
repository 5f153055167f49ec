"""What ``chat`` and ``batch_chat`` share: prompts to ids, generated ids to answers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from internvl_native import arguments, arrays
from internvl_native.chat_output import ChatOutput, chat_outputs
from internvl_native.conversation import Conversation, get_conv_template
from internvl_native.prompt import ImageTokens

if TYPE_CHECKING:
    from internvl_native.tokenization import PreTrainedTokenizer


class Conversations:
    """A model that can ``generate``, as far as conversations need it."""

    template: str
    system_message: str
    num_image_token: int
    img_context_token_id: int | None

    if TYPE_CHECKING:

        def generate(self, **kwargs: Any) -> Any: ...

    def _image_tokens(self, start: str, end: str, context: str) -> ImageTokens:
        return ImageTokens(
            arguments.text("IMG_START_TOKEN", start),
            arguments.text("IMG_END_TOKEN", end),
            context,
            arguments.integer("num_image_token", self.num_image_token),
        )

    def _conversation(self) -> Conversation:
        template = get_conv_template(self.template)
        template.system_message = arguments.text("system_message", self.system_message)
        return template

    def _set_context_token(
        self, tokenizer: PreTrainedTokenizer, token: str, tiles: int | None
    ) -> None:
        token = arguments.text("IMG_CONTEXT_TOKEN", token)
        self.img_context_token_id = tokenizer.convert_tokens_to_ids(token)
        if tiles is not None and self.img_context_token_id in (None, tokenizer.unk_token_id):
            raise ValueError(
                f"IMG_CONTEXT_TOKEN: expected a token of the tokenizer, got {token!r}, which it "
                "does not know; is it another checkpoint's?"
            )

    def _answers(
        self,
        tokenizer: PreTrainedTokenizer,
        inputs: dict[str, npt.NDArray[np.int64]],
        pixel_values: Any,
        generation_config: MutableMapping[str, Any],
        template: Conversation,
        return_output: bool,
    ) -> tuple[list[str], list[ChatOutput] | None]:
        questions = len(inputs["input_ids"])
        if pixel_values is None:
            # Without pixels to go by, hooks and streamers see torch tensors if torch is loaded.
            inputs["input_ids"] = arrays.as_loaded(inputs["input_ids"])
        options = dict(generation_config)
        if return_output:
            options.update(return_dict_in_generate=True, output_logprobs=True)
        output = self.generate(pixel_values=pixel_values, **inputs, **options)
        sequences = output.sequences if return_output else output
        texts = tokenizer.batch_decode(sequences, skip_special_tokens=True)
        separator = template.sep.strip()
        answers = [text.split(separator)[0].strip() for text in texts]
        return answers, chat_outputs(output, questions) if return_output else None


def encode_queries(
    tokenizer: PreTrainedTokenizer,
    queries: list[str],
    generation_config: MutableMapping[str, Any],
    template: Conversation,
    return_output: bool,
) -> dict[str, npt.NDArray[np.int64]]:
    """``input_ids`` and ``attention_mask``; the separator becomes the config's end of sequence."""
    arguments.check_generation_config(generation_config)
    encoded = tokenizer(queries, padding=len(queries) > 1)
    generation_config["eos_token_id"] = tokenizer.convert_tokens_to_ids(template.sep.strip())
    if generation_config.get("return_dict_in_generate") and not return_output:
        raise ValueError(
            "generation_config: chat returns text; pass return_output=True to chat, or call "
            "generate() for return_dict_in_generate"
        )
    names = ("input_ids", "attention_mask")
    return {name: arrays.integer_array(encoded[name], name) for name in names}


def with_extras(response: Any, history: Any, output: Any) -> Any:
    """The response alone, or a tuple of what there is."""
    parts = [part for part in (response, history, output) if part is not None]
    return response if len(parts) == 1 else tuple(parts)


def streamer_of(generation_config: Any) -> Any:
    """The streamer among the options, which may be of any kind yet."""
    is_mapping = isinstance(generation_config, Mapping)
    return generation_config.get("streamer") if is_mapping else None
