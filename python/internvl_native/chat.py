"""Conversations: questions about images to prompts, generated ids to answers.

What the reference does in ``InternVLChatModel.chat`` and ``batch_chat``, with its signatures and
side effects.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import as_loaded
from .conversation import Conversation, get_conv_template

if TYPE_CHECKING:
    from .tokenization import InternLM2Tokenizer


class ChatMethods:
    """``chat`` and ``batch_chat`` of a model that can ``generate``."""

    template: str
    system_message: str
    num_image_token: int
    img_context_token_id: int | None

    if TYPE_CHECKING:

        def generate(self, **kwargs: Any) -> Any: ...

    def chat(
        self,
        tokenizer: InternLM2Tokenizer,
        pixel_values: Any,
        question: str,
        generation_config: dict[str, Any],
        history: list[Any] | None = None,
        return_history: bool = False,
        num_patches_list: Sequence[int] | None = None,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
    ) -> Any:
        """Answers a question about any number of images, or about none.

        Args:
            pixel_values: the tiles of all images, (tiles, 3, S, S), or None.
            question: each ``<image>`` in it stands for one image; without history and without
                ``<image>``, one is put in front.
            generation_config: options of ``generate``; its ``eos_token_id`` is set by the call.
            history: earlier (question, answer) pairs; the new pair is appended in place.
            num_patches_list: tiles of each image; one image of all tiles if left out.

        Returns:
            the answer, or (answer, history) with ``return_history``.
        """
        tiles = _tiles(pixel_values)
        _check_question(question, "question", optional=pixel_values is None)
        if history is None and pixel_values is not None and "<image>" not in question:
            question = "<image>\n" + question
        if num_patches_list is None:
            num_patches_list = [tiles] if pixel_values is not None else []
        num_patches_list = _patch_counts(num_patches_list)
        if pixel_values is not None and tiles != sum(num_patches_list):
            raise ValueError(
                f"num_patches_list: {num_patches_list} adds up to {sum(num_patches_list)} "
                f"tiles, but pixel_values holds {tiles}"
            )
        self.img_context_token_id = tokenizer.convert_tokens_to_ids(IMG_CONTEXT_TOKEN)
        if history is not None and not hasattr(history, "append"):
            raise TypeError(
                "history: expected a list of (question, answer) pairs, "
                f"got {type(history).__name__}"
            )
        template = self._conversation()
        history = [] if history is None else history
        for turn in history:
            if not isinstance(turn, (tuple, list)) or len(turn) != 2:
                raise ValueError(f"history: expected (question, answer) pairs, got {turn!r}")
            template.append_message(template.roles[0], turn[0])
            template.append_message(template.roles[1], turn[1])
        template.append_message(template.roles[0], question)
        template.append_message(template.roles[1], None)
        query = template.get_prompt()
        if verbose and pixel_values is not None:
            print(f"dynamic ViT batch size: {tiles}")
        for num_patches in num_patches_list:
            tokens = IMG_CONTEXT_TOKEN * self.num_image_token * num_patches
            query = query.replace("<image>", IMG_START_TOKEN + tokens + IMG_END_TOKEN, 1)
        response = self._answers(tokenizer, [query], pixel_values, generation_config, template)[0]
        history.append((question, response))
        if return_history:
            return response, history
        if verbose:
            shown = query.replace(IMG_CONTEXT_TOKEN, "")
            print(shown.replace(f"{IMG_START_TOKEN}{IMG_END_TOKEN}", "<image>"), response)
        return response

    def batch_chat(
        self,
        tokenizer: InternLM2Tokenizer,
        pixel_values: Any,
        questions: Sequence[str],
        generation_config: dict[str, Any],
        num_patches_list: Sequence[int] | None = None,
        history: None = None,
        return_history: bool = False,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
        image_counts: Sequence[int] | None = None,
    ) -> list[str]:
        """Answers several questions at once, each about one image (or all about none).

        Args:
            pixel_values: the tiles of all images, in the order of the questions, or None.
            num_patches_list: tiles of each question's image.
            image_counts: the older name of ``num_patches_list``.

        Returns:
            the answers; with ``num_return_sequences``, those of one question follow each other.
        """
        if history is not None or return_history:
            raise NotImplementedError(
                "batch_chat: history and return_history are not supported, as in the reference; "
                "call chat() for conversations of several turns"
            )
        if image_counts is not None:
            num_patches_list = image_counts
            if verbose:
                print(
                    "Warning: `image_counts` is deprecated. Please use `num_patches_list` instead."
                )
        if num_patches_list is None:
            raise TypeError(
                "num_patches_list: expected the number of tiles of each question's image, got None"
            )
        if isinstance(questions, str):
            raise TypeError("questions: expected a list of questions, got one string")
        tiles = _tiles(pixel_values)
        num_patches_list = _patch_counts(num_patches_list)
        if len(num_patches_list) > len(questions):
            raise IndexError(
                f"num_patches_list: {len(num_patches_list)} entries for {len(questions)} questions"
            )
        if not num_patches_list:
            raise ValueError("questions: expected at least one question and its num_patches_list")
        self.img_context_token_id = tokenizer.convert_tokens_to_ids(IMG_CONTEXT_TOKEN)
        if verbose and pixel_values is not None:
            print(f"dynamic ViT batch size: {tiles}")
        queries = []
        for question, num_patches in zip(questions, num_patches_list):
            _check_question(question, "questions")
            if pixel_values is not None and "<image>" not in question:
                question = "<image>\n" + question
            template = self._conversation()
            template.append_message(template.roles[0], question)
            template.append_message(template.roles[1], None)
            tokens = IMG_CONTEXT_TOKEN * self.num_image_token * num_patches
            image = IMG_START_TOKEN + tokens + IMG_END_TOKEN
            queries.append(template.get_prompt().replace("<image>", image, 1))
        tokenizer.padding_side = "left"
        return self._answers(tokenizer, queries, pixel_values, generation_config, template)

    def _conversation(self) -> Conversation:
        template = get_conv_template(self.template)
        template.system_message = self.system_message
        return template

    def _answers(
        self,
        tokenizer: InternLM2Tokenizer,
        queries: list[str],
        pixel_values: Any,
        generation_config: dict[str, Any],
        template: Conversation,
    ) -> list[str]:
        if not isinstance(generation_config, dict):
            raise TypeError(
                f"generation_config: expected a dict, got {type(generation_config).__name__}; "
                "its eos_token_id is set by the call"
            )
        separator = template.sep.strip()
        inputs = tokenizer(queries, padding=len(queries) > 1)
        generation_config["eos_token_id"] = tokenizer.convert_tokens_to_ids(separator)
        if "use_cache" in generation_config:
            raise TypeError("generation_config: use_cache is always on; leave it out")
        if generation_config.get("return_dict_in_generate"):
            raise ValueError(
                "generation_config: chat returns text; call generate() for return_dict_in_generate"
            )
        input_ids = np.asarray(inputs["input_ids"], np.int64)
        output = self.generate(
            pixel_values=pixel_values,
            # Without pixels to go by, streamers, criteria and processors see torch if it is loaded.
            input_ids=as_loaded(input_ids) if pixel_values is None else input_ids,
            attention_mask=np.asarray(inputs["attention_mask"], np.int64),
            **generation_config,
        )
        texts = tokenizer.batch_decode(output, skip_special_tokens=True)
        return [text.split(separator)[0].strip() for text in texts]


def _tiles(pixel_values: Any) -> int:
    if pixel_values is None:
        return 0
    try:
        return len(pixel_values)
    except TypeError:
        raise ValueError(
            "pixel_values: expected tiles of shape (tiles, 3, height, width), "
            f"got {type(pixel_values).__name__}; load_image() makes them"
        ) from None


def _check_question(question: Any, name: str, optional: bool = False) -> None:
    if not isinstance(question, str) and not (optional and question is None):
        raise TypeError(f"{name}: expected text, got {type(question).__name__}")


def _patch_counts(num_patches_list: Any) -> list[int]:
    """Integers of any kind, numpy's and torch's too."""
    try:
        counts = [operator.index(count) for count in num_patches_list]
    except TypeError:
        raise TypeError(
            "num_patches_list: expected the number of tiles of each image, like [7, 13], "
            f"got {num_patches_list!r}"
        ) from None
    if any(count < 0 for count in counts):
        raise ValueError(f"num_patches_list: expected no negative number, got {counts}")
    return counts
