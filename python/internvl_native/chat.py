"""``chat``: a question about images, and its answer.

What the reference does in ``InternVLChatModel.chat``, with its signature and side effects.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from internvl_native import arguments, arrays
from internvl_native.conversations import Conversations, encode_queries, streamer_of, with_extras
from internvl_native.prompt import IMAGE_TAG, open_turn
from internvl_native.streamers import ended_on_error

if TYPE_CHECKING:
    from internvl_native.tokenization import PreTrainedTokenizer

logger = logging.getLogger(__name__)


class ChatMethods(Conversations):
    """``chat`` of a model that can ``generate``."""

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
        return_output: Literal[False] = ...,
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
        return_output: Literal[False] = ...,
    ) -> tuple[str, list[Any]]: ...

    @overload
    def chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        question: str | None,
        generation_config: MutableMapping[str, Any],
        history: list[Any] | None = ...,
        return_history: bool = ...,
        num_patches_list: Sequence[int] | None = ...,
        IMG_START_TOKEN: str = ...,
        IMG_END_TOKEN: str = ...,
        IMG_CONTEXT_TOKEN: str = ...,
        verbose: bool = ...,
        *,
        return_output: Literal[True],
    ) -> tuple[Any, ...]: ...

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
        return_output: bool = False,
    ) -> Any:
        """Answers a question about any number of images, or about none.

        What an earlier call computed of the same images and the same beginning of the conversation
        is not computed again: see ``prefix_cache``.

        Args:
            pixel_values: the tiles of all images, (tiles, 3, S, S), or None.
            question: each ``<image>`` in it stands for one image; without history and without
                ``<image>``, one is put in front.
            generation_config: options of ``generate``; its ``eos_token_id`` is set by the call.
            history: earlier (question, answer) pairs; the new pair is appended in place.
            num_patches_list: tiles of each image; one image of all tiles if left out.
            return_output: also return how the answer was generated.

        Returns:
            the answer, or (answer, history) with ``return_history``; with ``return_output``, a
            :class:`ChatOutput` at the end: (answer, output) or (answer, history, output).

        Raises:
            ValueError, TypeError: naming the argument; the history is left as it was.
        """
        with ended_on_error(streamer_of(generation_config)):
            arguments.check_tokenizer(tokenizer)
            tiles = None if pixel_values is None else arrays.count_tiles(pixel_values)
            if num_patches_list is None:
                num_patches_list = [] if tiles is None else [tiles]
            counts = arguments.tile_counts(num_patches_list, tiles)
            if history is not None:
                arguments.check_history(history)
            template = self._conversation()
            turn = open_turn(template, question, history, images=tiles is not None)
            if tiles is None and turn.question and IMAGE_TAG in turn.question:
                if any(counts):
                    raise ValueError(f"pixel_values: expected {sum(counts)} tiles, got None")
                logger.warning("question: its <image> stays text, since pixel_values is None")
            self._set_context_token(tokenizer, IMG_CONTEXT_TOKEN, tiles)
            if verbose and tiles is not None:
                print(f"dynamic ViT batch size: {tiles}")
            image_tokens = self._image_tokens(IMG_START_TOKEN, IMG_END_TOKEN, IMG_CONTEXT_TOKEN)
            query = image_tokens.fill(turn.prompt, counts)
            inputs = encode_queries(tokenizer, [query], generation_config, template, return_output)
        answers, outputs = self._answers(
            tokenizer, inputs, pixel_values, generation_config, template, return_output
        )
        response = answers[0]
        history = [] if history is None else history
        history.append((turn.question, response))
        if verbose and not return_history:
            print(image_tokens.shorten(query), response)
        return with_extras(response, history if return_history else None, outputs and outputs[0])
