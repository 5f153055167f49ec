"""Streamers, stopping criteria and logits processors that are none, return nonsense or raise."""

from __future__ import annotations

import io
from typing import Any, Callable

import numpy as np
import pytest
from tests.misuse.bench import Bench, Table, pixels

from internvl_native import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
    TextStreamer,
)


class LostError(Exception):
    """Nothing that the package knows."""


def lose(*arguments: Any) -> Any:
    raise LostError("in a hook")


class OnlyPut:
    def put(self, value: Any) -> None:
        pass


class OddStreamer(OnlyPut):
    """Breaks as it is told."""

    def __init__(self, put: Any = None, end: Any = None) -> None:
        self._put, self._end = put, end

    def put(self, value: Any) -> None:
        if self._put:
            self._put(value)

    def end(self) -> None:
        if self._end:
            self._end()


def closed_file(bench: Bench) -> Any:
    """A streamer that prints where nothing can be written any more."""
    file = io.StringIO()
    file.close()
    return OddStreamer(put=lambda value: print(value, file=file))


def processing(function: Callable[[Any, Any], Any]) -> Callable[[Bench], Any]:
    return lambda bench: bench.options(logits_processor=[function])


def stopping(function: Any) -> Callable[[Bench], Any]:
    return lambda bench: bench.options(stopping_criteria=[function])


STREAMERS: Table = {
    "a number": (lambda b: b.options(streamer=5), TypeError, r"streamer.*put\(\) and end\(\), got"),
    "the class": (
        lambda b: b.options(streamer=TextStreamer), TypeError, "streamer.*got the class",
    ),
    "a file": (lambda b: b.options(streamer=io.StringIO()), TypeError, r"streamer.*put\(\)"),
    "print": (lambda b: b.options(streamer=print), TypeError, r"streamer.*put\(\) and end\(\)"),
    "without end": (lambda b: b.options(streamer=OnlyPut()), TypeError, r"streamer.*end\(\)"),
    "with beams": (
        lambda b: b.options(streamer=TextStreamer(b.tokenizer), num_beams=2), ValueError,
        "streamer.*beam search.*num_beams",
    ),
    "with several questions": (
        lambda b: b.batch(
            None, ["a", "b"], [0, 0],
            generation_config={"max_new_tokens": 2, "streamer": TextStreamer(b.tokenizer)},
        ), ValueError, "TextStreamer.*batch size 1",
    ),
    "put raises": (lambda b: b.options(streamer=OddStreamer(put=lose)), LostError, "in a hook"),
    "end raises": (lambda b: b.options(streamer=OddStreamer(end=lose)), LostError, "in a hook"),
    "put exits": (
        lambda b: b.options(streamer=OddStreamer(put=lambda value: exit(3))), SystemExit, "3",
    ),
    "put interrupts": (
        lambda b: b.options(streamer=OddStreamer(put=_interrupt)), KeyboardInterrupt, "^$",
    ),
    "a closed file": (
        lambda b: b.options(streamer=closed_file(b)), ValueError, "I/O operation on closed file",
    ),
    "without a tokenizer": (
        lambda b: b.options(streamer=TextStreamer(None)), TypeError,
        "tokenizer: expected .*got NoneType",
    ),
    "of a path": (
        lambda b: b.options(streamer=TextIteratorStreamer("path")), TypeError,
        "tokenizer: expected .*got str",
    ),
    "timeout as text": (
        lambda b: next(TextIteratorStreamer(b.tokenizer, timeout="1")), TypeError,  # type: ignore[arg-type]
        "timeout: expected seconds or None, got '1'",
    ),
}  # fmt: skip


def _interrupt(value: Any) -> None:
    raise KeyboardInterrupt


HOOKS: Table = {
    "criterion a number": (
        lambda b: b.options(stopping_criteria=5), TypeError, "stopping_criteria.*callables, got 5",
    ),
    "criterion a word": (
        lambda b: b.options(stopping_criteria=["\n"]), TypeError, r"stopping_criteria.*'\\n'",
    ),
    "criteria a str": (
        lambda b: b.options(stopping_criteria="\n"), TypeError, r"stopping_criteria.*'\\n'",
    ),
    "criterion a class": (
        lambda b: b.options(stopping_criteria=[StoppingCriteria]), TypeError,
        "stopping_criteria.*got the class StoppingCriteria",
    ),
    "criterion raises": (stopping(lose), LostError, "in a hook"),
    "criterion without arguments": (stopping(lambda: False), TypeError, "positional argument"),
    "criterion of the base class": (
        stopping(StoppingCriteria()), NotImplementedError, "needs to be subclassed",
    ),
    "processor None": (
        lambda b: b.options(logits_processor=[None]), TypeError, "logits_processor.*got None",
    ),
    "processor a class": (
        lambda b: b.options(logits_processor=[LogitsProcessor]), TypeError,
        "logits_processor.*got the class LogitsProcessor",
    ),
    "processor raises": (processing(lose), LostError, "in a hook"),
    "processor returns None": (
        processing(lambda ids, scores: None), TypeError, "logits_processor.*scores, got None from",
    ),
    "processor returns text": (
        processing(lambda ids, scores: "x"), TypeError, "logits_processor.*scores, got str",
    ),
    "processor returns a number": (
        processing(lambda ids, scores: 0.5), ValueError, "logits_processor.*shape.*2202",
    ),
    "processor returns a row": (
        processing(lambda ids, scores: scores[0]), ValueError, "logits_processor.*shape",
    ),
    "processor returns fewer scores": (
        processing(lambda ids, scores: scores[:, :5]), ValueError, "logits_processor.*shape",
    ),
    "processor of the base class": (
        processing(LogitsProcessor()), NotImplementedError, "needs to be subclassed",
    ),
    "allowed tokens a list": (
        lambda b: b.options(prefix_allowed_tokens_fn=[1, 2]), TypeError,
        "prefix_allowed_tokens_fn.*callable, got",
    ),
    "allowed tokens of text": (
        lambda b: b.options(prefix_allowed_tokens_fn=lambda batch, ids: "ab"), TypeError,
        "prefix_allowed_tokens_fn.*'ab'",
    ),
    "allowed tokens beyond the vocabulary": (
        lambda b: b.options(prefix_allowed_tokens_fn=lambda batch, ids: [99999]), ValueError,
        "prefix_allowed_tokens_fn.*99999",
    ),
    "no allowed tokens": (
        lambda b: b.options(prefix_allowed_tokens_fn=lambda batch, ids: []), ValueError,
        "prefix_allowed_tokens_fn",
    ),
    "NaN where something is drawn": (
        lambda b: b.options(
            do_sample=True, logits_processor=[lambda ids, scores: scores * np.nan]
        ), RuntimeError, "probabilities .*logits processor produced NaN",
    ),
    "a list with a number in it": (
        lambda b: b.options(logits_processor=LogitsProcessorList([5])), TypeError,
        "logits_processor.*got 5",
    ),
    "criteria in a list of lists": (
        lambda b: b.options(stopping_criteria=StoppingCriteriaList([[lose]])), TypeError,
        "stopping_criteria.*callables, got",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMERS)
def test_streamers(bench: Bench, case: str) -> None:
    bench.refuses(*STREAMERS[case])


@pytest.mark.parametrize("case", HOOKS)
def test_hooks(bench: Bench, case: str) -> None:
    bench.refuses(*HOOKS[case])


@pytest.mark.parametrize(
    "arguments",
    [
        {"question": 5},
        {"history": "x"},
        {"num_patches_list": [5]},
        {"tokenizer": None},
        {"pixel_values": "a.jpg"},
        {"generation_config": {"foo": 1}},
        {"generation_config": {"input_ids": 1}},
        {"generation_config": {"logits_processor": [lose]}},
    ],
    ids=str,
)
def test_whoever_waits_for_a_streamer_is_told(bench: Bench, arguments: dict[str, Any]) -> None:
    streamer = TextIteratorStreamer(bench.tokenizer, skip_prompt=True, timeout=5)
    config = {"streamer": streamer, **arguments.pop("generation_config", {})}
    with pytest.raises((TypeError, ValueError, LostError)):
        bench.chat(**{"pixel_values": pixels(), "generation_config": config, **arguments})
    assert list(streamer) == [""]


def test_generate_ends_its_streamer(bench: Bench) -> None:
    streamer = TextIteratorStreamer(bench.tokenizer, timeout=5)
    with pytest.raises(ValueError, match="input_ids: expected 2 dimensions"):
        bench.generate(input_ids=[1, 2], streamer=streamer)
    assert list(streamer) == [""]


@pytest.mark.parametrize("answer", [None, 0, "", []])
def test_criteria_that_say_nothing_stop_nothing(bench: Bench, answer: Any) -> None:
    """As in the reference, what is false does."""
    expected = bench.chat()
    config = {"max_new_tokens": 2, "stopping_criteria": [lambda ids, scores: answer]}
    assert bench.chat(generation_config=config) == expected
