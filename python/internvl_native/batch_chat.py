"""``batch_chat``: several conversations at once.

The reference's flat form, with its signature and side effects, and what it refuses: several images
a question, and histories.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from internvl_native import arguments, arrays
from internvl_native.conversations import Conversations, encode_queries, streamer_of, with_extras
from internvl_native.prompt import IMAGE_TAG, open_turn
from internvl_native.streamers import ended_on_error

if TYPE_CHECKING:
    from internvl_native.tokenization import PreTrainedTokenizer


class BatchChatMethods(Conversations):
    """``batch_chat`` of a model that can ``generate``."""

    @overload
    def batch_chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        questions: Sequence[str],
        generation_config: MutableMapping[str, Any],
        num_patches_list: Sequence[int] | Sequence[Sequence[int]] | None = ...,
        history: Sequence[list[Any] | None] | None = ...,
        return_history: Literal[False] = ...,
        IMG_START_TOKEN: str = ...,
        IMG_END_TOKEN: str = ...,
        IMG_CONTEXT_TOKEN: str = ...,
        verbose: bool = ...,
        image_counts: Sequence[int] | None = ...,
        return_output: Literal[False] = ...,
    ) -> list[str]: ...

    @overload
    def batch_chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        questions: Sequence[str],
        generation_config: MutableMapping[str, Any],
        num_patches_list: Sequence[int] | Sequence[Sequence[int]] | None = ...,
        history: Sequence[list[Any] | None] | None = ...,
        *,
        return_history: Literal[True],
        IMG_START_TOKEN: str = ...,
        IMG_END_TOKEN: str = ...,
        IMG_CONTEXT_TOKEN: str = ...,
        verbose: bool = ...,
        image_counts: Sequence[int] | None = ...,
        return_output: Literal[False] = ...,
    ) -> tuple[list[str], list[list[Any]]]: ...

    @overload
    def batch_chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        questions: Sequence[str],
        generation_config: MutableMapping[str, Any],
        num_patches_list: Sequence[int] | Sequence[Sequence[int]] | None = ...,
        history: Sequence[list[Any] | None] | None = ...,
        return_history: bool = ...,
        IMG_START_TOKEN: str = ...,
        IMG_END_TOKEN: str = ...,
        IMG_CONTEXT_TOKEN: str = ...,
        verbose: bool = ...,
        image_counts: Sequence[int] | None = ...,
        *,
        return_output: Literal[True],
    ) -> tuple[Any, ...]: ...

    def batch_chat(
        self,
        tokenizer: PreTrainedTokenizer,
        pixel_values: Any,
        questions: Sequence[str],
        generation_config: MutableMapping[str, Any],
        num_patches_list: Sequence[int] | Sequence[Sequence[int]] | None = None,
        history: Sequence[list[Any] | None] | None = None,
        return_history: bool = False,
        IMG_START_TOKEN: str = "<img>",
        IMG_END_TOKEN: str = "</img>",
        IMG_CONTEXT_TOKEN: str = "<IMG_CONTEXT>",
        verbose: bool = False,
        image_counts: Sequence[int] | None = None,
        return_output: bool = False,
    ) -> Any:
        """Answers several questions at once, each as :meth:`chat` would alone.

        The reference takes a number for each question in ``num_patches_list``: each is about one
        image (or all are about none), and only its first ``<image>`` becomes one. Beyond that, a
        list for each question gives the tiles of each of its images: several, or ``[]`` for none.

        Args:
            pixel_values: the tiles of all images, in the order of the questions, or None.
            num_patches_list: tiles of each question's image, or a list for each question with the
                tiles of each of its images, those of its history first.
            history: for each question None, or a list of earlier (question, answer) pairs, to which
                the new pair is appended in place.
            image_counts: the older name of ``num_patches_list``.
            return_output: also return how the answers were generated.

        Returns:
            the answers; with ``num_return_sequences``, those of one question follow each other (the
            first enters its history). With ``return_history`` (answers, histories), and with
            ``return_output`` a list of :class:`ChatOutput`, one for each answer, at the end.

        Raises:
            ValueError, TypeError, IndexError: naming the argument and, for lists, the question; all
                histories are left as they were.
        """
        with ended_on_error(streamer_of(generation_config)):
            if image_counts is not None:
                num_patches_list = image_counts
                if verbose:
                    print(
                        "Warning: `image_counts` is deprecated. "
                        "Please use `num_patches_list` instead."
                    )
            arguments.check_tokenizer(tokenizer)
            tiles = None if pixel_values is None else arrays.count_tiles(pixel_values)
            as_reference = history is None and not return_history
            as_reference = as_reference and not arguments.is_nested(num_patches_list)
            if as_reference:
                numbers = arguments.tile_counts(num_patches_list, tiles)
                arguments.check_questions(questions)
                arguments.check_entries(numbers, questions)
                counts = [[number] for number in numbers]
            else:
                arguments.check_questions(questions)
                counts = arguments.image_counts(num_patches_list, len(questions), tiles)
            histories = arguments.histories(history, len(questions))
            self._set_context_token(tokenizer, IMG_CONTEXT_TOKEN, tiles)
            if verbose and tiles is not None:
                print(f"dynamic ViT batch size: {tiles}")
            image_tokens = self._image_tokens(IMG_START_TOKEN, IMG_END_TOKEN, IMG_CONTEXT_TOKEN)
            turns = []
            for index, (question, own) in enumerate(zip(questions, counts)):
                template = self._conversation()
                about_images = tiles is not None if as_reference else bool(own)
                turn = open_turn(template, question, histories[index], images=about_images)
                if not as_reference:
                    arguments.check_tags(index, turn.prompt.count(IMAGE_TAG), len(own))
                turns.append(turn)
            queries = [image_tokens.fill(turn.prompt, own) for turn, own in zip(turns, counts)]
            tokenizer.padding_side = "left"
            inputs = encode_queries(tokenizer, queries, generation_config, template, return_output)
        answers, outputs = self._answers(
            tokenizer, inputs, pixel_values, generation_config, template, return_output
        )
        histories = [[] if turns_before is None else turns_before for turns_before in histories]
        each = len(answers) // len(turns)
        for own_history, turn, answer in zip(histories, turns, answers[::each]):
            own_history.append((turn.question, answer))
        return with_extras(answers, histories if return_history else None, outputs)
