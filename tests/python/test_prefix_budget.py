"""model.prefix_cache: what calls cost, what is kept, and when it goes."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.chat_cases import recorded_generate
from tests.support.goldens import EXTRA
from tests.support.prefix_cache import CHECKPOINT, CONFIG, GIB, empty_cache, image

from internvl_native import AutoModel, AutoTokenizer
from internvl_native.prefix_cache import PrefixCache


def shared(one: list[int], other: list[int]) -> int:
    pairs = enumerate(zip(one, other))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def test_the_second_turn_costs_its_new_tokens(fast_model: Any, tokenizer: Any) -> None:
    """All of the first prompt is there, all of the answer that reads back as it was written."""
    pixels, history = image("land.jpg"), None
    with empty_cache(fast_model) as cache, recorded_generate(fast_model) as calls:
        for question in ("<image>\nWhat is it?", "Why?", "Really?"):
            before = cache.computed_tokens
            _, history = fast_model.chat(
                tokenizer, pixels, question, dict(CONFIG), history, return_history=True
            )
            prompt = calls[-1]["inputs"]["input_ids"][0].tolist()
            known = []
            if len(calls) > 1:
                known = calls[-2]["inputs"]["input_ids"][0].tolist()
                assert prompt[: len(known)] == known
                known += calls[-2]["output"][0, 1:-1].tolist()
            assert cache.computed_tokens - before == len(prompt) - shared(prompt, known)
    assert cache.computed_tiles == len(pixels)
    assert cache.reused_tiles == 2 * len(pixels)


def test_the_same_prompt_again_costs_one_token(fast_model: Any, tokenizer: Any) -> None:
    with empty_cache(fast_model) as cache:
        first = fast_model.chat(tokenizer, None, "Hello", dict(CONFIG))
        before = cache.computed_tokens
        assert fast_model.chat(tokenizer, None, "Hello", dict(CONFIG)) == first
        assert cache.computed_tokens == before + 1


def test_tiles_that_occur_twice(fast_model: Any, tokenizer: Any) -> None:
    pixels = np.tile(image("land.jpg", 1), (3, 1, 1, 1))
    with empty_cache(fast_model) as cache:
        fast_model.batch_chat(
            tokenizer, pixels, ["What?", "Why?"], dict(CONFIG, output_logits=False),
            num_patches_list=[[1, 1], [1]], history=[[("<image> <image>", "Yes.")], None],
        )  # fmt: skip
        assert (cache.computed_tiles, cache.reused_tiles) == (1, 2)


def test_a_budget(fast_model: Any, tokenizer: Any) -> None:
    """What was used last is kept, and never more than there may be."""
    questions = ["Hello", "Describe a street, please.", "Who is it?"]
    with empty_cache(fast_model) as cache:
        for question in questions:
            fast_model.chat(tokenizer, None, question, dict(CONFIG))
        every = cache.nbytes
        cache.max_bytes = every - 1
        assert 0 < cache.nbytes < every
        for question, new in ((questions[2], False), (questions[0], True), (questions[2], False)):
            before = cache.computed_tokens
            fast_model.chat(tokenizer, image("land.jpg"), question, dict(CONFIG))
            fast_model.chat(tokenizer, None, question, dict(CONFIG))
            assert cache.nbytes <= cache.max_bytes
            assert (cache.computed_tokens > before + 1) or not new
        cache.max_bytes = 0
        assert cache.nbytes == 0


def test_a_sequence_beyond_the_budget(fast_model: Any) -> None:
    """As many whole pages of its beginning as there may be."""
    ids = np.random.default_rng(0).integers(3, 2000, (1, 300))
    with empty_cache(fast_model) as cache:
        fast_model.generate(input_ids=ids, max_new_tokens=1)
        cache.max_bytes = cache.nbytes - 1
        fast_model.generate(input_ids=ids, max_new_tokens=1)
        assert 0 < cache.nbytes <= cache.max_bytes
        fast_model.generate(input_ids=ids, max_new_tokens=1)
        assert cache.reused_tokens == 256


def test_it_stays_in_its_place(fast_model: Any) -> None:
    with pytest.raises(AttributeError):
        fast_model.prefix_cache = None


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.5, TypeError), (None, TypeError), ("1", TypeError)]
)
def test_budgets_that_are_none(fast_model: Any, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_bytes: expected"):
        fast_model.prefix_cache.max_bytes = value
    assert fast_model.prefix_cache.max_bytes == 0  # as before


@pytest.mark.parametrize(("gib", "expected"), [(4, GIB // 4), (8, GIB // 2), (64, GIB)])
def test_the_budget_of_a_machine(monkeypatch: pytest.MonkeyPatch, gib: int, expected: int) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gib * GIB // 4096}
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)
    assert PrefixCache().max_bytes == expected


class Turning:
    """A streamer that does something at the third token, and may not like it."""

    def __init__(self, act: Any) -> None:
        self.left, self.act = 3, act

    def put(self, value: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()

    def end(self) -> None:
        """Nothing is left."""


def test_a_budget_that_changes_meanwhile(fast_model: Any, tokenizer: Any) -> None:
    with empty_cache(fast_model) as cache:
        for max_bytes in (0, 1):
            streamer = Turning(lambda: setattr(cache, "max_bytes", max_bytes))  # noqa: B023
            config = {"max_new_tokens": 5, "min_new_tokens": 5, "streamer": streamer}
            fast_model.chat(tokenizer, image("land.jpg"), "What is it?", config)
            assert cache.nbytes == 0
            cache.max_bytes = GIB


def test_calls_that_fail(fast_model: Any, tokenizer: Any) -> None:
    """Tiles that were encoded stay, sequences that were not finished do not come."""

    def fail() -> None:
        raise BrokenPipeError("gone")

    pixels = image("land.jpg")
    with empty_cache(fast_model, 0):
        expected = fast_model.chat(tokenizer, pixels, "What is it?", dict(CONFIG))
    with empty_cache(fast_model) as cache:
        for _ in range(3):
            config = {"max_new_tokens": 5, "min_new_tokens": 5, "streamer": Turning(fail)}
            with pytest.raises(BrokenPipeError):
                fast_model.chat(tokenizer, pixels, "What is it?", config)
        assert cache.computed_tiles == len(pixels)
        assert cache.reused_tokens == 0
        for _ in range(2):
            assert fast_model.chat(tokenizer, pixels, "What is it?", dict(CONFIG)) == expected
        with pytest.raises(ValueError, match="rows, but input_ids hold"):
            fast_model.generate(pixels, [[5, 6]], max_new_tokens=1)
        assert fast_model.chat(tokenizer, pixels, "What is it?", dict(CONFIG)) == expected


def test_many_short_sequences(fast_model: Any, tokenizer: Any) -> None:
    """Sequences are few enough to compare with, and push no tile out."""
    token, pixels = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"), image("land.jpg", 1)
    fast_model.img_context_token_id = token
    with empty_cache(fast_model) as cache:
        fast_model.generate(pixels, [[token] * 16], max_new_tokens=1)
        for start in range(70):
            fast_model.generate(input_ids=[[100 + start, 5]], max_new_tokens=1)
        before = cache.reused_tokens
        fast_model.generate(input_ids=[[169, 5], [106, 5], [105, 5]], max_new_tokens=1)
        assert cache.reused_tokens - before == 2
        fast_model.generate(pixels, [[7] + [token] * 16], max_new_tokens=1)
        assert cache.computed_tiles == 1


def test_other_weights(tokenizer: Any) -> None:
    """A dtype or an adapter begins anew, and gives what a model loaded like that gives."""
    model = AutoModel.from_pretrained(CHECKPOINT)
    question = (tokenizer, image("land.jpg"), "What is it?")
    float32 = model.chat(*question, dict(CONFIG), return_output=True)[1].logprobs
    assert model.prefix_cache.nbytes > 0
    model.to("bfloat16")
    assert model.prefix_cache.nbytes == 0
    fresh = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    for one in (model, model, fresh):
        bfloat16 = one.chat(*question, dict(CONFIG), return_output=True)[1].logprobs
        np.testing.assert_array_equal(
            bfloat16, fresh.chat(*question, dict(CONFIG), return_output=True)[1].logprobs
        )
    assert not np.array_equal(bfloat16, float32)


def test_adapters() -> None:
    checkpoint, adapter = EXTRA / "ckpt_llama", EXTRA / "lora" / "llama_language"
    model = AutoModel.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    def logits(one: Any) -> npt.NDArray[np.float32]:
        output = one.chat(tokenizer, None, "Hello", dict(CONFIG), return_output=True)[1]
        return np.stack(output.logits)

    plain = logits(model)
    assert model.prefix_cache.nbytes > 0
    model.load_adapter(adapter)
    assert model.prefix_cache.nbytes == 0
    merged = logits(model)
    np.testing.assert_array_equal(
        merged, logits(AutoModel.from_pretrained(checkpoint, adapters=adapter))
    )
    assert not np.array_equal(merged, plain)
    model.disable_adapters()
    np.testing.assert_array_equal(logits(model), plain)


def test_threads(fast_model: Any) -> None:
    """Conversations at once, on one cache with room for some of them."""
    pixels = [image(name) for name in ("land.jpg", "tower.jpg", "port.jpg", "gray.jpg")]

    def converse(index: int) -> list[Any]:
        tokenizer, history = AutoTokenizer.from_pretrained(CHECKPOINT), list[Any]()
        for question in ("<image>\nWhat is it?", "Why?", "Really?"):
            config = dict(CONFIG, output_logits=False)
            fast_model.chat(tokenizer, pixels[index], question, config, history)
        return history

    with empty_cache(fast_model, 0):
        expected = [converse(index) for index in range(4)]
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        results[number] = [converse((number + step) % 4) for step in range(4)]

    with empty_cache(fast_model, 400_000) as cache:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache.nbytes <= cache.max_bytes
        assert cache.reused_tokens > 0
    for number in range(4):
        assert results[number] == [expected[(number + step) % 4] for step in range(4)]


def test_it_goes_with_the_model(tokenizer: Any) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    model.chat(tokenizer, image("land.jpg"), "What is it?", dict(CONFIG))
    engine, store = (weakref.ref(one) for one in (model._core, model.prefix_cache))
    del model
    assert engine() is None
    assert store() is None


def test_what_it_shows(fast_model: Any) -> None:
    with empty_cache(fast_model) as cache:
        assert repr(cache) == (
            "PrefixCache(max_bytes=1073741824, nbytes=0, computed_tiles=0, reused_tiles=0, "
            "computed_tokens=0, reused_tokens=0)"
        )
