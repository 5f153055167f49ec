"""Conversations: questions about images to prompts, generated ids to answers.

What the reference does in ``InternVLChatModel.chat`` and ``batch_chat``, with its signatures and
side effects.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from internvl_native import arguments, arrays
from internvl_native.conversation import Conversation, get_conv_template
from internvl_native.streamers import ended_on_error

if TYPE_CHECKING:
    from internvl_native.tokenization import PreTrainedTokenizer

logger = logging.getLogger(__name__)


class ChatMethods:
    """``chat`` and ``batch_chat`` of a model that can ``generate``."""

    template: str
    system_message: str
    num_image_token: int
    img_context_token_id: int | None

    if TYPE_CHECKING:

        def generate(self, **kwargs: Any) -> Any: ...

    @overload
    def chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        question: str | None,
        generation_config: MutableMapping[str, Any],
        history: list[Any] | None = ...,
        return_history: Literal[False] = ...,
        num_patches_list: Sequence[int] | None = ...,
        IMG_START_TOKEN: str = ...,
        IMG_END_TOKEN: str = ...,
        IMG_CONTEXT_TOKEN: str = ...,
        verbose: bool = ...,
    ) -> str: ...

    @overload
    def chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        question: str | None,
        generation_config: MutableMapping[str, Any],
        history: list[Any] | None = ...,
        *,
        return_history: Literal[True],
        num_patches_list: Sequence[int] | None = ...,
        IMG_START_TOKEN: str = ...,
        IMG_END_TOKEN: str = ...,
        IMG_CONTEXT_TOKEN: str = ...,
        verbose: bool = ...,
    ) -> tuple[str, list[Any]]: ...

    def chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        question: str | None,
        generation_config: MutableMapping[str, Any],
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

        Raises:
            ValueError, TypeError: naming the argument; the history is left as it was.
        """
        with ended_on_error(_streamer_of(generation_config)):
            arguments.check_tokenizer(tokenizer)
            tiles = None if pixel_values is None else arrays.count_tiles(pixel_values)
            question = self._question(question, tiles, first=history is None)
            if num_patches_list is None:
                num_patches_list = [] if tiles is None else [tiles]
            counts = arguments.tile_counts(num_patches_list, tiles)
            if tiles is None and question and "<image>" in question:
                if any(counts):
                    raise ValueError(f"pixel_values: expected {sum(counts)} tiles, got None")
                logger.warning("question: its <image> stays text, since pixel_values is None")
            history = [] if history is None else history
            arguments.check_history(history)
            template = self._conversation()
            for turn in history:
                template.append_message(template.roles[0], turn[0])
                template.append_message(template.roles[1], turn[1])
            template.append_message(template.roles[0], question)
            template.append_message(template.roles[1], None)
            query = template.get_prompt()
            self._set_context_token(tokenizer, IMG_CONTEXT_TOKEN, tiles)
            if verbose and tiles is not None:
                print(f"dynamic ViT batch size: {tiles}")
            for count in counts:
                tokens = IMG_CONTEXT_TOKEN * self.num_image_token * count
                query = query.replace("<image>", IMG_START_TOKEN + tokens + IMG_END_TOKEN, 1)
            inputs = _encode(tokenizer, [query], generation_config, template)
        response = self._answers(tokenizer, inputs, pixel_values, generation_config, template)[0]
        history.append((question, response))
        if return_history:
            return response, history
        if verbose:
            shown = query.replace(IMG_CONTEXT_TOKEN, "")
            print(shown.replace(f"{IMG_START_TOKEN}{IMG_END_TOKEN}", "<image>"), response)
        return response

    def batch_chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        questions: Sequence[str],
        generation_config: MutableMapping[str, Any],
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

        Raises:
            ValueError, TypeError, IndexError: naming the argument.
            NotImplementedError: for a history, which the reference does not take either.
        """
        with ended_on_error(_streamer_of(generation_config)):
            if history is not None or return_history:
                raise NotImplementedError(
                    "batch_chat: history and return_history are not supported, as in the "
                    "reference; call chat() for conversations of several turns"
                )
            if image_counts is not None:
                num_patches_list = image_counts
                if verbose:
                    print(
                        "Warning: `image_counts` is deprecated. "
                        "Please use `num_patches_list` instead."
                    )
            arguments.check_tokenizer(tokenizer)
            tiles = None if pixel_values is None else arrays.count_tiles(pixel_values)
            counts = arguments.tile_counts(num_patches_list, tiles)
            arguments.check_questions(questions, counts)
            self._set_context_token(tokenizer, IMG_CONTEXT_TOKEN, tiles)
            if verbose and tiles is not None:
                print(f"dynamic ViT batch size: {tiles}")
            queries = []
            for question, count in zip(questions, counts):
                template = self._conversation()
                message = self._question(question, tiles, first=True)
                template.append_message(template.roles[0], message)
                template.append_message(template.roles[1], None)
                tokens = IMG_CONTEXT_TOKEN * self.num_image_token * count
                image = IMG_START_TOKEN + tokens + IMG_END_TOKEN
                queries.append(template.get_prompt().replace("<image>", image, 1))
            tokenizer.padding_side = "left"
            inputs = _encode(tokenizer, queries, generation_config, template)
        return self._answers(tokenizer, inputs, pixel_values, generation_config, template)

    def _question(self, question: str | None, tiles: int | None, *, first: bool) -> str | None:
        """The question, with ``<image>`` in front if it opens a conversation about images."""
        if question is None and tiles is None:
            return None  # an empty message, as in the reference
        question = arguments.text("question", question)
        if first and tiles is not None and "<image>" not in question:
            return "<image>\n" + question
        return question

    def _conversation(self) -> Conversation:
        template = get_conv_template(self.template)
        template.system_message = arguments.text("system_message", self.system_message)
        return template

    def _set_context_token(
        self, tokenizer: PreTrainedTokenizer, token: str, tiles: int | None
    ) -> None:
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
    ) -> list[str]:
        if pixel_values is None:
            # Without pixels to go by, hooks and streamers see torch tensors if torch is loaded.
            inputs["input_ids"] = arrays.as_loaded(inputs["input_ids"])
        output = self.generate(pixel_values=pixel_values, **inputs, **generation_config)
        texts = tokenizer.batch_decode(output, skip_special_tokens=True)
        separator = template.sep.strip()
        return [text.split(separator)[0].strip() for text in texts]


def _encode(
    tokenizer: PreTrainedTokenizer,
    queries: list[str],
    generation_config: MutableMapping[str, Any],
    template: Conversation,
) -> dict[str, npt.NDArray[np.int64]]:
    """``input_ids`` and ``attention_mask``; the separator becomes the config's end of sequence."""
    arguments.check_generation_config(generation_config)
    encoded = tokenizer(queries, padding=len(queries) > 1)
    generation_config["eos_token_id"] = tokenizer.convert_tokens_to_ids(template.sep.strip())
    if "use_cache" in generation_config:
        raise TypeError("generation_config: use_cache is always on; leave it out")
    if generation_config.get("return_dict_in_generate"):
        raise ValueError(
            "generation_config: chat returns text; call generate() for return_dict_in_generate"
        )
    return {name: np.asarray(encoded[name], np.int64) for name in ("input_ids", "attention_mask")}


def _streamer_of(generation_config: Any) -> Any:
    is_mapping = isinstance(generation_config, Mapping)
    return generation_config.get("streamer") if is_mapping else None
