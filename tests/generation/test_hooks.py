"""Streamers, criteria, processors and the objects that come back."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from internvl_native.generation import (
    GenerateBeamDecoderOnlyOutput,
    GenerateDecoderOnlyOutput,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    generate,
    prepare_generation,
)
from internvl_native.streamers import BaseStreamer, TextIteratorStreamer, TextStreamer

from .hash_model import HIDDEN_SIZE, PROMPT_LENGTH, HashModel, hidden_of, logits_of, model_config

CONFIG = model_config()


def run(prompts: list[int], **kwargs: Any) -> Any:
    return generate(HashModel(prompts), {"max_new_tokens": 6, **kwargs}, model_config=CONFIG)


class Log:
    """A streamer that notes its calls."""

    def __init__(self, fail_at: int = -1) -> None:
        self.calls: list[Any] = []
        self.fail_at = fail_at

    def put(self, value: Any) -> None:
        if len(self.calls) == self.fail_at:
            raise RuntimeError("streamer is full")
        self.calls.append((value.shape, value.tolist()))

    def end(self) -> None:
        self.calls.append("end")


def test_streamer_gets_the_prompt_and_a_token_a_step() -> None:
    log = Log()
    sequence = run([3], streamer=log)[0].tolist()
    steps = [((1,), [token]) for token in sequence[1:]]
    assert log.calls == [((1, 1), [[1]]), *steps, "end"]


def test_streamer_sees_the_pads_of_a_batch() -> None:
    log = Log()
    eos = int(run([3, 4])[0, 2])
    sequences = run([3, 4], streamer=log, eos_token_id=eos, pad_token_id=0)
    assert log.calls[0] == ((2, 1), [[1], [1]])
    assert [call[1] for call in log.calls[1:-1]] == sequences[:, 1:].T.tolist()
    assert sequences[0, 3:].tolist() == [0] * 4


class FailingModel(HashModel):
    def step(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        raise RuntimeError("out of memory")


def test_streamer_ends_after_every_error() -> None:
    for kwargs, error in (({"foo": 1}, ValueError), ({"num_beams": 2}, ValueError)):
        log = Log()
        with pytest.raises(error):
            prepare_generation({**kwargs, "streamer": log}, model_config=CONFIG)
        assert log.calls == ["end"]
    log = Log()
    with pytest.raises(RuntimeError, match="out of memory"):
        generate(FailingModel([3]), {"streamer": log}, model_config=CONFIG)
    assert log.calls[0] == ((1, 1), [[1]])
    assert log.calls[-1] == "end"
    log = Log(fail_at=3)
    with pytest.raises(RuntimeError, match="streamer is full"):
        run([3], streamer=log)
    assert len(log.calls) == 4
    log = Log()
    plan = prepare_generation({"streamer": log}, model_config=CONFIG)

    def no_model() -> HashModel:
        raise ValueError("no pixels")

    with pytest.raises(ValueError, match="no pixels"):
        plan.run(no_model)
    assert log.calls == ["end"]


class Decoder:
    """A tokenizer: ids are code points."""

    def decode(self, ids: list[int], upper: bool = False) -> str:
        text = "".join(map(chr, ids))
        return text.upper() if upper else text


def feed(streamer: BaseStreamer, text: str) -> None:
    streamer.put(np.array([[ord("<")]]))
    for character in text:
        streamer.put(np.array([ord(character)]))
    streamer.end()


def test_text_iterator_streamer_gives_whole_words() -> None:
    streamer = TextIteratorStreamer(Decoder(), skip_prompt=True, upper=True)
    feed(streamer, "ab cd你e\nf")
    assert list(streamer) == ["", "", "AB ", "", "", "CD你", "", "E\n", "", "F"]
    feed(streamer, "x ")  # used again
    assert list(streamer) == ["", "X ", ""]
    whole = TextIteratorStreamer(Decoder())
    feed(whole, "a b")
    assert "".join(whole) == "<a b"


def test_text_iterator_streamer_times_out() -> None:
    with pytest.raises(queue.Empty):
        next(TextIteratorStreamer(Decoder(), timeout=0.01))


def test_text_streamer_prints(capsys: pytest.CaptureFixture[str]) -> None:
    feed(TextStreamer(Decoder()), "one two")
    assert capsys.readouterr().out == "<one two\n"


def test_text_streamer_refuses_a_batch() -> None:
    with pytest.raises(ValueError, match="only supports batch size 1"):
        run([3, 4], streamer=TextIteratorStreamer(Decoder()))


def test_streaming_to_another_thread() -> None:
    streamer = TextIteratorStreamer(Decoder(), skip_prompt=True, timeout=10)
    thread = threading.Thread(target=run, args=([3],), kwargs={"streamer": streamer})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert [ord(c) for c in text] == run([3])[0, 1:].tolist()


def test_stopping_criteria_see_the_sequence() -> None:
    seen: list[Any] = []

    def at_four(input_ids: Any, scores: Any) -> bool:
        seen.append((input_ids.tolist(), scores))
        return bool(input_ids.shape[-1] >= 4)

    full = run([3]).tolist()[0]
    stopped = run([3], stopping_criteria=at_four)
    assert stopped.tolist() == [full[:4]]
    assert seen == [([full[:n]], None) for n in (2, 3, 4)]


def test_stopping_criteria_see_scores_if_they_are_kept() -> None:
    lengths: list[int] = []

    def note(input_ids: Any, scores: Any) -> bool:
        lengths.append(len(scores))
        assert np.array_equal(scores[0][0], logits_of(3, [], 40))
        return False

    run([3], stopping_criteria=[note], output_scores=True, return_dict_in_generate=True)
    assert lengths == [1, 2, 3, 4, 5]  # not asked once max_length is reached


def test_criteria_of_ours() -> None:
    criteria = StoppingCriteriaList([MaxTimeCriteria(60.0), MaxLengthCriteria(3)])
    assert run([3], stopping_criteria=criteria).shape == (1, 3)
    assert run([3], stopping_criteria=MaxTimeCriteria(-1.0)).shape == (1, 2)
    assert run([3, 4], stopping_criteria=lambda ids, scores: ids[:, -1] >= 0).shape == (2, 2)
    assert criteria(np.zeros((1, 3)), None)
    with pytest.raises(NotImplementedError):
        run([3], stopping_criteria=StoppingCriteria())


def test_logits_processors_run_in_order_before_the_warpers() -> None:
    def only_seven(input_ids: Any, scores: Any) -> Any:
        scores[:] = -np.inf
        scores[:, 7] = 0
        return scores

    def shift(input_ids: Any, scores: Any) -> Any:
        return np.roll(scores, input_ids.shape[1], axis=1)

    kwargs = {"logits_processor": [only_seven, shift], "do_sample": True}
    assert run([3], **kwargs).tolist() == [[1, 8, 9, 10, 11, 12, 13]]
    with pytest.raises(ValueError, match=r"`logits_processor` must have shape \[1, 40\]"):
        run([3], logits_processor=lambda ids, scores: scores[:, :3])


def test_prefix_function_gets_the_prompt_index() -> None:
    def allowed(batch_id: int, input_ids: Any) -> list[int]:
        return [10 * (batch_id + 1) + len(input_ids), 10 * (batch_id + 1)]

    beams = run([3, 4], prefix_allowed_tokens_fn=allowed, num_beams=2)
    assert set((beams[0, 1:] // 10).tolist()) == {1}
    assert set((beams[1, 1:] // 10).tolist()) == {2}


def test_greedy_output_object() -> None:
    parameters = {"return_dict_in_generate": True, "output_scores": True}
    output = run([3, 4], **parameters, output_logits=True, repetition_penalty=1.5)
    assert type(output) is GenerateDecoderOnlyOutput
    assert list(output.keys()) == ["sequences", "scores", "logits"]
    assert output["sequences"] is output.sequences is output[0]
    assert output.hidden_states is None
    with pytest.raises(AttributeError):
        _ = output.attentions_of_sorts
    assert [s.shape for s in output.scores] == [(2, 40)] * 6
    tokens = output.sequences[1, 1:].tolist()
    for step, logits in enumerate(output.logits):
        assert np.array_equal(logits[1], logits_of(4, tokens[:step], 40))
        assert np.argmax(output.scores[step][1]) == tokens[step]


def test_hidden_states() -> None:
    parameters = {"return_dict_in_generate": True, "output_hidden_states": True}
    output = run([3, 4], **parameters)
    assert list(output.keys()) == ["sequences", "hidden_states"]
    assert len(output.hidden_states) == 6
    assert [x.shape for x in output.hidden_states[0]] == [(2, PROMPT_LENGTH, HIDDEN_SIZE)] * 2
    assert [x.shape for x in output.hidden_states[1]] == [(2, 1, HIDDEN_SIZE)] * 2
    tokens = output.sequences[1, 1:3].tolist()
    assert np.array_equal(output.hidden_states[2][1][1, 0], hidden_of(4, tokens, 0))
    beams = run([3, 4], **parameters, num_beams=3)
    assert type(beams) is GenerateBeamDecoderOnlyOutput
    assert beams.hidden_states[0][0].shape == (6, PROMPT_LENGTH, HIDDEN_SIZE)
    contrastive = run([3, 4], **parameters, penalty_alpha=0.5, top_k=3)
    assert [x.shape for x in contrastive.hidden_states[2]] == [(2, 1, HIDDEN_SIZE)] * 2


def test_hidden_states_are_the_models_choice_if_the_call_leaves_them_open() -> None:
    parameters = {"return_dict_in_generate": True, "output_hidden_states": None}
    config = {**model_config(), "output_hidden_states": True}
    output = generate(HashModel([3]), parameters, model_config=config)
    assert output.hidden_states is not None
    assert run([3], **parameters).hidden_states is None


def test_contrastive_search_weighs_confidence_against_similarity() -> None:
    def unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
        return vector / np.linalg.norm(vector.astype(np.float64))

    alpha, k = 0.6, 4
    tokens: list[int] = []
    context = [unit(hidden_of(3, [], position)) for position in range(PROMPT_LENGTH)]
    for _ in range(6):
        weights = np.exp(logits_of(3, tokens, 40).astype(np.float64))
        probabilities = weights / weights.sum()
        candidates = np.argsort(-probabilities)[:k].tolist()
        states = [unit(hidden_of(3, [*tokens, token], 0)) for token in candidates]
        ranks = [
            (1 - alpha) * probabilities[token] - alpha * max(float(c @ state) for c in context)
            for token, state in zip(candidates, states)
        ]
        best = int(np.argmax(ranks))
        tokens.append(candidates[best])
        context.append(states[best])
    got = run([3], penalty_alpha=alpha, top_k=k, eos_token_id=-1)
    assert got.tolist() == [[1, *tokens]]


def test_a_row_does_not_depend_on_its_batch() -> None:
    for parameters in ({}, {"num_beams": 3}, {"penalty_alpha": 0.4, "top_k": 3}):
        together = run([3, 4, 5], eos_token_id=-1, **parameters)
        alone = [run([prompt], eos_token_id=-1, **parameters)[0] for prompt in (3, 4, 5)]
        assert np.array_equal(together, np.stack(alone))


@pytest.fixture
def listening() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where a shell has started the tests in the background
    and they inherited an ignored one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_an_interrupt_stops_within_a_token() -> None:
    class InterruptedModel(HashModel):
        def step(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
            if self.steps == 2:
                signal.raise_signal(signal.SIGINT)
            return super().step(tokens)

    log = Log()
    model = InterruptedModel([3])
    with pytest.raises(KeyboardInterrupt):
        generate(model, {"max_new_tokens": 10**6, "streamer": log}, model_config=CONFIG)
    assert model.steps <= 3
    assert log.calls[-1] == "end"


def test_threads_do_not_disturb_each_other() -> None:
    results: dict[int, Any] = {}

    def work(prompt: int) -> None:
        results[prompt] = run([prompt], num_beams=3).tolist()

    threads = [threading.Thread(target=work, args=(prompt,)) for prompt in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {prompt: run([prompt], num_beams=3).tolist() for prompt in range(8)}
