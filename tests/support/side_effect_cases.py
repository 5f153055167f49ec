"""The calls of side_effects.json: what they change beside returning an answer.

Each case gets a `Scene` with a newly loaded model and tokenizer and returns the entry that the
file holds for it.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from .implementation import Implementation, load_tiles


@dataclass
class Scene:
    impl: Implementation
    model: Any
    tokenizer: Any

    def tile(self) -> Any:
        size = self.model.config.force_image_size
        return self.impl.tensor(load_tiles(self.impl, "land.jpg", size))

    def chat(self, pixels: Any, question: str, config: Any = None, **keywords: Any) -> Any:
        config = {"max_new_tokens": 6, "do_sample": False} if config is None else config
        return self.model.chat(self.tokenizer, pixels, question, config, **keywords)


def _error(call: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"ok": True, "value": call()}
    except Exception as error:  # the error is the result
        return {"ok": False, "type": type(error).__name__, "message": str(error)}


def _printed(call: Callable[[], Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        call()
    return out.getvalue()


def before_any_call(s: Scene) -> dict[str, Any]:
    return {
        "img_context_token_id": s.model.img_context_token_id,
        "padding_side": s.tokenizer.padding_side,
        "num_image_token": s.model.num_image_token,
        "template": s.model.template,
        "system_message": s.model.system_message,
    }


def text_only(s: Scene) -> dict[str, Any]:
    history: list[Any] = []
    config = {"max_new_tokens": 6, "do_sample": False}
    returned = s.chat(None, "hello", config, history=history, return_history=False)
    return {
        "returned": type(returned).__name__,
        "history_after": [list(turn) for turn in history],
        "entry_type": type(history[0]).__name__,
        "generation_config_keys": list(config),
        "generation_config_eos": config["eos_token_id"],
        "img_context_token_id": s.model.img_context_token_id,
        "padding_side": s.tokenizer.padding_side,
    }


def image_prefix(s: Scene) -> dict[str, Any]:
    response, history = s.chat(s.tile(), "hello", {"max_new_tokens": 6}, return_history=True)
    return {
        "response": response,
        "history": [list(turn) for turn in history],
        "entry_type": type(history[0]).__name__,
    }


def list_history(s: Scene) -> dict[str, Any]:
    history: list[Any] = [["<image>\nhello", "x"]]
    config = {"max_new_tokens": 6}
    _, returned = s.chat(s.tile(), "more", config, history=history, return_history=True)
    return {
        "same_object": returned is history,
        "length": len(history),
        "types": [type(turn).__name__ for turn in history],
        "history": [list(turn) for turn in history],
    }


def eos_overwritten(s: Scene) -> dict[str, Any]:
    config = {"max_new_tokens": 3, "eos_token_id": 5}
    s.chat(None, "hello", config)
    im_end = s.tokenizer.convert_tokens_to_ids("<|im_end|>")
    return {"eos_after": config["eos_token_id"], "im_end": im_end}


def batch_chat(s: Scene) -> dict[str, Any]:
    questions = ["a", "b longer question"]
    config = {"max_new_tokens": 3}
    s.model.batch_chat(s.tokenizer, None, questions, config, num_patches_list=[0, 0])
    return {
        "padding_side": s.tokenizer.padding_side,
        "questions_after": questions,
        "generation_config": config,
    }


def padding_side_stays(s: Scene) -> dict[str, Any]:
    batch_chat(s)
    encoded = s.tokenizer(["a", "a b c"], return_tensors=s.impl.tensors, padding=True)
    return {"ids": np.asarray(encoded["input_ids"]).tolist()}


def unknown_key(s: Scene) -> dict[str, Any]:
    config = {"max_new_tokens": 3, "foo": 1}
    error = _error(lambda: s.chat(None, "hello", config))
    return {"error": error, "generation_config": config}


def failing_history(s: Scene) -> dict[str, Any]:
    history: list[Any] = []
    error = _error(lambda: s.chat(s.tile(), "hello", history=history, num_patches_list=[2]))
    return {"error": error, "history": history}


def failing_size_first(s: Scene) -> dict[str, Any]:
    error = _error(lambda: s.chat(s.tile(), "hello", num_patches_list=[2]))
    return {"error": error, "img_context_token_id": s.model.img_context_token_id}


def other_image_tokens(s: Scene) -> dict[str, Any]:
    s.chat(
        s.tile(),
        "hello",
        IMG_START_TOKEN="<box>",
        IMG_END_TOKEN="</box>",
        IMG_CONTEXT_TOKEN="<quad>",
    )
    return {"img_context_token_id": s.model.img_context_token_id}


def verbose_chat(s: Scene) -> dict[str, Any]:
    tile = s.tile()
    config = {"max_new_tokens": 3}
    return {"stdout": _printed(lambda: s.chat(tile, "hello", config, verbose=True))}


def verbose_with_history(s: Scene) -> dict[str, Any]:
    tile = s.tile()
    keywords = {"verbose": True, "return_history": True}
    return {"stdout": _printed(lambda: s.chat(tile, "hello", {"max_new_tokens": 3}, **keywords))}


def verbose_batch(s: Scene) -> dict[str, Any]:
    tile = s.tile()
    call = lambda: s.model.batch_chat(  # noqa: E731
        s.tokenizer, tile, ["hello"], {"max_new_tokens": 3}, image_counts=[1], verbose=True
    )
    return {"stdout": _printed(call)}


class RecordingStreamer:
    """Notes the shape and values of every `put`, and `end`."""

    def __init__(self) -> None:
        self.log: list[list[Any]] = []

    def put(self, value: Any) -> None:
        self.log.append(["put", list(value.shape), value.tolist()])

    def end(self) -> None:
        self.log.append(["end"])


QUESTION = "Describe the picture."


def streamer_calls(s: Scene) -> dict[str, Any]:
    streamer = RecordingStreamer()
    response = s.chat(s.tile(), QUESTION, {"max_new_tokens": 10, "streamer": streamer})
    return {"question": QUESTION, "response": response, "log": streamer.log}


def text_iterator_chunks(s: Scene) -> dict[str, Any]:
    response = ""
    chunks = {}
    for options in (
        {"skip_prompt": True, "skip_special_tokens": True},
        {},
        {"skip_prompt": True},
    ):
        s.impl.renew(s.model)
        streamer = s.impl.text_iterator_streamer(s.tokenizer, **options)
        response = s.chat(s.tile(), QUESTION, {"max_new_tokens": 24, "streamer": streamer})
        chunks[json.dumps(options)] = list(streamer)
    return {"question": QUESTION, "response": response, "chunks": chunks}


def streamer_with_beams(s: Scene) -> dict[str, Any]:
    config = {"max_new_tokens": 3, "num_beams": 2, "streamer": RecordingStreamer()}
    return {"error": _error(lambda: s.chat(None, "hello", config))}


def streamer_with_batch(s: Scene) -> dict[str, Any]:
    config = {"max_new_tokens": 3, "streamer": s.impl.text_streamer(s.tokenizer)}
    call = lambda: s.model.batch_chat(  # noqa: E731
        s.tokenizer, None, ["a", "b"], config, num_patches_list=[0, 0]
    )
    return {"error": _error(call)}


def stopping_criteria(s: Scene) -> dict[str, Any]:
    seen: list[Any] = []

    def stop(input_ids: Any, scores: Any, **_: Any) -> bool:
        seen.append([np.asarray(input_ids).tolist(), None if scores is None else "scores"])
        return bool(np.asarray(input_ids).shape[-1] >= 4)

    config = {"max_new_tokens": 10, "stopping_criteria": [stop]}
    return {"response": s.chat(s.tile(), QUESTION, config), "seen": seen}


def _generate(s: Scene, **keywords: Any) -> Any:
    template = s.impl.get_conv_template(s.model.template)
    template.system_message = s.model.system_message
    template.append_message(template.roles[0], "<image>\n" + QUESTION)
    template.append_message(template.roles[1], None)
    image = "<img>" + "<IMG_CONTEXT>" * s.model.num_image_token + "</img>"
    prompt = template.get_prompt().replace("<image>", image)
    encoded = s.tokenizer(prompt, return_tensors=s.impl.tensors)
    s.model.img_context_token_id = s.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    return s.model.generate(
        pixel_values=s.tile(),
        input_ids=encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        max_new_tokens=4,
        return_dict_in_generate=True,
        **keywords,
    )


def hidden_states(s: Scene) -> dict[str, Any]:
    output = _generate(s, output_hidden_states=True)
    steps = [[np.asarray(state) for state in step] for step in output.hidden_states]
    return {
        "question": "<image>\n" + QUESTION,
        "keys": list(output.keys()),
        "steps": len(steps),
        "per_step": len(steps[0]),
        "shapes": [[list(state.shape) for state in step] for step in steps[:2]],
        "last_norm": [[float(np.linalg.norm(state)) for state in step] for step in steps],
    }


def attentions(s: Scene) -> dict[str, Any]:
    return {"result": _error(lambda: list(_generate(s, output_attentions=True).keys()))}


SIDE_EFFECT_CASES: dict[str, Callable[[Scene], dict[str, Any]]] = {
    "before any call": before_any_call,
    "chat text only, history=[], return_history False": text_only,
    "chat image, history None, return_history True: question is stored with the prefix": (
        image_prefix
    ),
    "chat image, list history": list_history,
    "chat with eos_token_id given: overwritten": eos_overwritten,
    "batch_chat": batch_chat,
    "padding_side stays left for later tokenizer calls": padding_side_stays,
    "unknown key: error, but the dict has already been changed": unknown_key,
    "failing chat does not append to history": failing_history,
    "failing size check comes before img_context_token_id is set": failing_size_first,
    "other IMG tokens": other_image_tokens,
    "verbose chat prints": verbose_chat,
    "verbose chat with return_history prints": verbose_with_history,
    "verbose batch_chat with image_counts prints": verbose_batch,
    "streamer calls": streamer_calls,
    "TextIteratorStreamer chunks": text_iterator_chunks,
    "streamer with beams": streamer_with_beams,
    "streamer with a batch of two": streamer_with_batch,
    "stopping_criteria at length 4 (start token included)": stopping_criteria,
    "generate output_hidden_states": hidden_states,
    "generate output_attentions": attentions,
}
