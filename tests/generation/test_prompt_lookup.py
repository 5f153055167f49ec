"""prompt_lookup_num_tokens: the tokens, scores and hooks of single steps, in fewer passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from internvl_native.generation import generate

from .hash_model import HashModel, model_config

TEXT = [7, 11, 5, 9, 11, 30, 8]  # what the model says again and again; 11 comes twice
OPTIONS = {
    "max_new_tokens": 40,
    "eos_token_id": None,
    "output_scores": True,
    "output_logits": True,
    "output_logprobs": True,
    "return_dict_in_generate": True,
}


class Reciting(HashModel):
    """Prefers the next word of TEXT, most of the time; takes several tokens at once."""

    def __init__(self, prompt: list[int], at_once: int = 100) -> None:
        super().__init__([0])
        self.words, self.at_once, self.passes = prompt, at_once, 0

    def prompt(self, row: int) -> list[int]:
        return self.words

    def prefill(self) -> npt.NDArray[np.float32]:
        return super().prefill() + self.bonus()

    def step(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        self.passes += 1
        return super().step(tokens) + self.bonus()

    def max_extension(self) -> int:
        return self.at_once

    def extend(self, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        assert 1 < len(tokens) <= self.at_once
        passes = self.passes + 1
        logits = [self.step(token[None]) for token in tokens]
        self.passes = passes
        return np.concatenate(logits)

    def crop(self, count: int) -> None:
        assert 0 < count < len(self.rows[0][1])
        del self.rows[0][1][-count:]

    def bonus(self) -> npt.NDArray[np.float32]:
        said = len(self.rows[0][1])
        word = TEXT[said % len(TEXT)]
        bonus = np.zeros(self.size, np.float32)
        bonus[word] = 0 if said % 17 == 3 else 12
        return bonus


def run(model: Reciting, **parameters: Any) -> Any:
    return generate(model, {**OPTIONS, **parameters}, model_config=model_config())


SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"do_sample": True, "seed": 5, "temperature": 0.8},
    "processors": {"repetition_penalty": 1.1, "no_repeat_ngram_size": 9, "min_new_tokens": 4},
    "a short answer": {"max_new_tokens": 2},
    "an end": {"eos_token_id": 30},
    "one token at a time": {"prompt_lookup_num_tokens": 1},
    "long n-grams": {"max_matching_ngram_size": 5},
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("prompt", [[], [3, *TEXT, 4, 7]], ids=["alone", "with a prompt"])
def test_the_same_in_fewer_passes(search: dict[str, Any], prompt: list[int]) -> None:
    plain, ahead = Reciting(prompt), Reciting(prompt)
    expected = run(plain, **{**search, "prompt_lookup_num_tokens": None})
    output = run(ahead, **{"prompt_lookup_num_tokens": 4, **search})
    assert list(output) == list(expected)
    for name in ("sequences", "scores", "logits", "logprobs"):
        np.testing.assert_array_equal(np.stack(output[name]), np.stack(expected[name]))
    assert ahead.rows == plain.rows  # nothing is left of what was not taken
    if prompt or expected.sequences.shape[1] > 20:
        assert ahead.passes < plain.passes or plain.passes < 2


def test_candidates_come_from_the_prompt() -> None:
    """Before anything was said twice, only the prompt knows what comes next."""
    passes = []
    for prompt in ([], [3, *TEXT]):
        model = Reciting(prompt)
        run(model, max_new_tokens=7, prompt_lookup_num_tokens=6)
        passes.append(model.passes)
    assert passes[1] < passes[0] <= 6


def test_a_model_that_takes_single_steps() -> None:
    model = Reciting(TEXT, at_once=1)
    run(model, prompt_lookup_num_tokens=4)
    assert model.passes == 39
    plain = generate(HashModel([0]), {"prompt_lookup_num_tokens": 4}, model_config=model_config())
    assert plain.tolist() == generate(HashModel([0]), {}, model_config=model_config()).tolist()


def test_hooks_see_single_tokens() -> None:
    seen: dict[int, list[Any]] = {0: [], 4: []}
    for count, lengths in seen.items():

        class Streamer:
            def put(self, value: Any, lengths: list[Any] = lengths) -> None:
                lengths.append(np.asarray(value).tolist())

            def end(self) -> None:
                """Nothing is left."""

        def stop(ids: Any, scores: Any, lengths: list[Any] = lengths) -> bool:
            lengths.append((ids.shape, len(scores)))
            return bool(ids.shape[1] > 25)

        options = {"streamer": Streamer(), "stopping_criteria": [stop]}
        run(Reciting(TEXT), prompt_lookup_num_tokens=count or None, **options)
    assert seen[0] == seen[4]
    assert len(seen[0]) > 40


def test_several_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="`prompt_lookup_num_tokens` works on one prompt, got 2"):
        generate(HashModel([0, 1]), {"prompt_lookup_num_tokens": 4}, model_config=model_config())
