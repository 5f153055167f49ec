"""Runs one entry of a chat.json on an implementation and reports it in that file's own terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .goldens import run_lengths, sha256
from .implementation import Implementation, load_tiles

IMAGE_TOKENS = ("<img>", "<IMG_CONTEXT>", "</img>")


def generation_config_of(case: dict[str, Any]) -> dict[str, Any]:
    """The call's keyword arguments: JSON cannot hold the dict keys and tuples some of them need."""
    config = dict(case["generation_config"])
    if "sequence_bias" in config:
        config["sequence_bias"] = {tuple(ids): bias for ids, bias in config["sequence_bias"]}
    if "exponential_decay_length_penalty" in config:
        config["exponential_decay_length_penalty"] = tuple(
            config["exponential_decay_length_penalty"]
        )
    return config


def pixels_of(impl: Implementation, case: dict[str, Any]) -> tuple[np.ndarray | None, list[int]]:
    """The concatenated tiles of all images, and how many each image has."""
    if case["images"] is None:
        return None, []
    tiles = [load_tiles(impl, **image) for image in case["images"]]
    return np.concatenate(tiles), [len(image_tiles) for image_tiles in tiles]


def history_of(case: dict[str, Any]) -> list[Any] | None:
    if case.get("history") is None:
        return None
    entry = tuple if case.get("history_type") == "tuple" else list
    return [entry(turn) for turn in case["history"]]


@contextmanager
def recorded_generate(model: Any) -> Iterator[list[dict[str, Any]]]:
    """Notes what chat and batch_chat pass to `model.generate`, and what it returns."""
    calls: list[dict[str, Any]] = []
    generate = model.generate

    def record(*args: Any, **kwargs: Any) -> Any:
        calls.append({"inputs": {k: kwargs.get(k) for k in ("input_ids", "attention_mask")}})
        calls[-1]["output"] = output = generate(*args, **kwargs)
        return output

    model.generate = record
    try:
        yield calls
    finally:
        del model.generate


def run_case(
    impl: Implementation,
    model: Any,
    tokenizer: Any,
    case: dict[str, Any],
    pixel_values: Any = None,
    **extra: Any,
) -> dict[str, Any]:
    """`expect` of `case` as this implementation gives it; raw scores under "scores".

    `pixel_values` replaces the images read from disk (another dtype, say); `extra` goes to the
    call's generation settings.
    """
    pixels, tiles_per_image = pixels_of(impl, case)
    result: dict[str, Any] = {}
    if pixels is not None:
        result["pixel_values_shape"] = list(pixels.shape)
        result["pixel_values_sha256"] = sha256(pixels)
        if pixel_values is None:
            pixel_values = impl.tensor(pixels)
    config = {**generation_config_of(case), **extra}
    impl.renew(model)
    with recorded_generate(model) as calls:
        try:
            if case["call"] == "generate":
                _generate(impl, model, tokenizer, case, pixel_values, tiles_per_image, config)
            else:
                call = _chat if case["call"] == "chat" else _batch_chat
                result.update(call(model, tokenizer, case, pixel_values, tiles_per_image, config))
        except Exception as error:  # every error is a recorded result
            result["error"] = {"type": type(error).__name__, "message": str(error)}
            result["exception"] = error
    if calls and "output" in calls[0]:
        result.update(_describe_generation(**calls[0]))
    return result


def _patches(value: Any, tiles_per_image: list[int]) -> Any:
    return tiles_per_image if value == "per_image" else value


def _chat(
    model: Any,
    tokenizer: Any,
    case: dict[str, Any],
    pixel_values: Any,
    tiles_per_image: list[int],
    config: dict[str, Any],
) -> dict[str, Any]:
    history = history_of(case)
    response, returned = model.chat(
        tokenizer,
        pixel_values,
        case["question"],
        config,
        history=history,
        return_history=True,
        num_patches_list=_patches(case.get("num_patches_list"), tiles_per_image),
    )
    return {
        "response": response,
        "history": [list(turn) for turn in returned],
        "history_entry_types": [
            type(turn).__name__ if isinstance(turn, (tuple, list)) else "?" for turn in returned
        ],
        "history_is_same_object": returned is history,
        "generation_config_eos_after": config["eos_token_id"],
    }


def _batch_chat(
    model: Any,
    tokenizer: Any,
    case: dict[str, Any],
    pixel_values: Any,
    tiles_per_image: list[int],
    config: dict[str, Any],
) -> dict[str, Any]:
    keywords = {
        key: _patches(case[key], tiles_per_image)
        for key in ("num_patches_list", "image_counts")
        if key in case
    }
    return {
        "responses": model.batch_chat(
            tokenizer, pixel_values, list(case["questions"]), config, **keywords
        )
    }


def _generate(
    impl: Implementation,
    model: Any,
    tokenizer: Any,
    case: dict[str, Any],
    pixel_values: Any,
    tiles_per_image: list[int],
    config: dict[str, Any],
) -> None:
    start, context, end = IMAGE_TOKENS
    prompts = list(case["prompts"])
    tiles = iter(tiles_per_image)
    for row, prompt in enumerate(prompts):
        while "<image>" in prompt:
            image = start + context * model.num_image_token * next(tiles) + end
            prompt = prompt.replace("<image>", image, 1)
        prompts[row] = prompt
    tokenizer.padding_side = "left"
    inputs = tokenizer(prompts, return_tensors=impl.tensors, padding=True)
    model.img_context_token_id = tokenizer.convert_tokens_to_ids(context)
    model.generate(
        pixel_values=pixel_values,
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        **config,
    )


def _describe_generation(inputs: dict[str, Any], output: Any) -> dict[str, Any]:
    description: dict[str, Any] = {
        "input_ids_rle": [run_lengths(row) for row in np.asarray(inputs["input_ids"]).tolist()],
        "attention_mask_pad": [
            int((row == 0).sum()) for row in np.asarray(inputs["attention_mask"])
        ],
    }
    if not hasattr(output, "sequences"):
        return {**description, "output_ids": np.asarray(output).tolist()}
    description["output_ids"] = np.asarray(output.sequences).tolist()
    description["output_class"] = type(output).__name__
    description["output_keys"] = list(output.keys())
    for name in ("sequences_scores", "beam_indices"):
        if getattr(output, name, None) is not None:
            description[name] = np.asarray(getattr(output, name)).tolist()
    if getattr(output, "scores", None) is not None:
        scores = [np.asarray(step) for step in output.scores]
        description["scores_len"] = len(scores)
        description["scores_shape"] = list(scores[0].shape)
        description["scores"] = scores
    return description
