"""model.prefix_cache: what earlier calls computed changes no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.chat_cases import run_case
from tests.support.extras import optional
from tests.support.goldens import DATA, EXTRA, read_json
from tests.support.implementation import Models, NativeImplementation
from tests.support.prefix_cache import CHECKPOINT, CONFIG, GIB, empty_cache, image

from internvl_native import AutoModel, _core

IMPLEMENTATION = NativeImplementation()
RECORDED = [
    (folder, case)
    for folder in (DATA, EXTRA)
    for case in read_json(folder / "chat.json")["cases"]
    if "output_ids" in case["expect"]
    and "error" not in case["expect"]
    and not case["generation_config"].get("do_sample")
    and case["generation_config"].get("max_new_tokens", 1) > 0  # negative counts are refused
]


class Streamed:
    """A streamer that notes what comes."""

    def __init__(self, results: list[Any]) -> None:
        self.results = results

    def put(self, value: Any) -> None:
        self.results.append(np.asarray(value))

    def end(self) -> None:
        self.results.append("end")


def conversation(model: Any, tokenizer: Any) -> list[Any]:
    """Everything that calls return which share something with calls before, but not all."""
    land, tower = image("land.jpg"), image("tower.jpg")
    both = np.concatenate([land, tower])
    counts = [len(land), len(tower)]
    results: list[Any] = []

    def ask(pixels: Any, question: str, history: Any = None, **options: Any) -> Any:
        patches = options.pop("num_patches_list", None)
        answer, turns, output = model.chat(
            tokenizer, pixels, question, {**CONFIG, **options}, history and list(history),
            return_history=True, num_patches_list=patches, return_output=True,
        )  # fmt: skip
        results.extend([answer, output.token_ids, output.logprobs, *output.logits])
        return turns

    one = ask(both, "First: <image>\nSecond: <image>\nCompare.", num_patches_list=counts)
    two = ask(both, "Why?", one, num_patches_list=counts)
    ask(both, "Really?", two, num_patches_list=counts)
    ask(both, "And what else?", one, num_patches_list=counts)  # shorter again
    ask(both, "Why?", [(one[0][0], "Both are old.")], num_patches_list=counts)  # edited
    ask(np.concatenate([land, land]), "Why?", one, num_patches_list=[len(land)] * 2)
    ask(both[::-1].copy(), "Why?", one, num_patches_list=counts[::-1])
    ask(both.astype(np.float16), "Why?", one, num_patches_list=counts)
    ask(image("land.jpg", 4), "What is it?")
    ask(land, "What is it?")
    ask(land, "What is it?", streamer=Streamed(results))
    ask(land, "What is it?", do_sample=True, seed=3, top_k=9)
    ask(land, "What is it?", num_beams=3)
    ask(land, "What is it?", penalty_alpha=0.4, top_k=3)
    ask(None, "Why?", [("What is it?", "A street.")])
    model.system_message, before = "Be brief.", model.system_message
    ask(land, "What is it?")
    model.system_message = before
    results.extend(
        model.batch_chat(
            tokenizer, both, ["Compare.", "Why?", "Hi"], dict(CONFIG, output_logits=False),
            num_patches_list=[[len(land)], [len(tower)], []],
            history=[None, [("<image>\nWhat is it?", "A tower.")], []],
        )
    )  # fmt: skip
    return results


def test_nothing_changes(model: Any, tokenizer: Any) -> None:
    with empty_cache(model) as cache:
        reused = conversation(model, tokenizer)
        assert cache.reused_tiles > 20
        assert cache.reused_tokens > cache.computed_tokens > 0
    with empty_cache(model, 0) as cache:
        computed = conversation(model, tokenizer)
        assert (cache.reused_tiles, cache.reused_tokens, cache.nbytes) == (0, 0, 0)
    assert len(reused) == len(computed)
    for one, other in zip(reused, computed):
        np.testing.assert_array_equal(one, other)


def test_float16_weights(tokenizer: Any) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="float16")
    with empty_cache(model):
        reused = conversation(model, tokenizer)
    with empty_cache(model, 0):
        computed = conversation(model, tokenizer)
    for one, other in zip(reused, computed):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("folder", [DATA, EXTRA], ids=["data", "extra"])
def test_recorded_answers(models: Models, folder: Any) -> None:
    """All that the reference was asked, of models that remember what came before."""
    for checkpoint in sorted({case["ckpt"] for place, case in RECORDED if place == folder}):
        model = models(_core.cpu_isas()[-1], folder / checkpoint)
        tokenizer = IMPLEMENTATION.load_tokenizer(folder / checkpoint)
        cases = [
            case
            for place, case in RECORDED
            if (place, case["ckpt"]) == (folder, checkpoint) and not case.get("config")
        ]
        with empty_cache(model) as cache:
            for case in cases:
                got = run_case(IMPLEMENTATION, model, tokenizer, case)
                assert got["output_ids"] == case["expect"]["output_ids"], case["id"]
            assert cache.reused_tokens > 0


@pytest.mark.parametrize("checkpoint", [DATA / "ckpt_ntk", EXTRA / "ckpt_dynamic"])
def test_dynamic_scaling(checkpoint: Any) -> None:
    """Beyond max_position_embeddings a key depends on what follows it: it is computed again."""
    model, plain = (AutoModel.from_pretrained(checkpoint) for _ in range(2))
    plain.prefix_cache.max_bytes = 0
    limit = model.config.llm_config.max_position_embeddings
    options = {"output_logits": True, "return_dict_in_generate": True, "eos_token_id": -1}
    for one in (model, plain):
        one.img_context_token_id = -1
    ids = np.random.default_rng(0).integers(3, 200, limit + 30)
    lengths = [limit - 9, limit - 5, limit + 9, limit, limit + 1, limit - 1, 4]
    reused = []
    for length in lengths:
        before = model.prefix_cache.reused_tokens
        found, expected = (
            np.stack(one.generate(None, ids[None, :length], max_new_tokens=12, **options).logits)
            for one in (model, plain)
        )
        reused.append(model.prefix_cache.reused_tokens - before)
        np.testing.assert_array_equal(found, expected)
    assert reused == [0, limit - 9, 0, limit - 5, 0, limit - 2, 3]


MASKS = {
    "left": [0, 0, 1, 1, 1, 1, 1, 1],
    "right": [1, 1, 1, 1, 1, 1, 0, 0],
    "middle": [1, 1, 0, 1, 0, 1, 1, 1],
    "nothing": [0, 0, 0, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_padding(model: Any, mask: list[int]) -> None:
    """Sequences are what is not masked, wherever it stands."""
    ids = np.arange(16).reshape(2, 8) + 300
    options = {"max_new_tokens": 3, "output_logits": True, "return_dict_in_generate": True}
    masks = np.asarray([mask, [1] * 8])

    def run() -> list[npt.NDArray[np.float32]]:
        batch = model.generate(input_ids=ids, attention_mask=masks, eos_token_id=-1, **options)
        again = model.generate(input_ids=ids[::-1], attention_mask=masks, **options)
        seen = ids[:1, np.asarray(mask) == 1]
        alone = model.generate(input_ids=seen, **options) if seen.size else batch
        return [np.stack(output.logits) for output in (batch, again, alone)]

    with empty_cache(model) as cache:
        reused = run()
        assert cache.reused_tokens >= max(0, sum(mask) - 1)
    with empty_cache(model, 0):
        for one, other in zip(reused, run()):
            np.testing.assert_array_equal(one, other)


def test_images_in_what_is_masked(model: Any) -> None:
    """The logits of a row without any token depend on all of its images, known or not."""
    token, pixels = model.img_context_token_id, image("land.jpg", 1)
    ids = np.asarray([[token] * 16 + [5], [7] + [token] * 16])
    pair = np.concatenate([pixels, pixels[:, ::-1]])
    options = {"max_new_tokens": 2, "output_logits": True, "return_dict_in_generate": True}

    def run() -> list[npt.NDArray[np.float32]]:
        outputs = [
            model.generate(pair, ids, np.asarray([[seen] * 17, last]), **options)
            for seen in (1, 0)
            for last in ([1] * 17, [1] * 16 + [0], [0] * 17)
        ]
        return [np.stack(output.logits) for output in outputs * 2]

    with empty_cache(model):
        reused = run()
    with empty_cache(model, 0):
        for one, other in zip(reused, run()):
            np.testing.assert_array_equal(one, other)


def test_torch_tensors(fast_model: Any, tokenizer: Any) -> None:
    torch = optional("torch", "test-extras")
    pixels = torch.from_numpy(image("land.jpg"))
    results = []
    for max_bytes in (0, GIB):
        with empty_cache(fast_model, max_bytes) as cache:
            for one in (pixels, pixels.bfloat16(), pixels.bfloat16().float(), pixels.double()):
                config = dict(CONFIG)
                output = fast_model.chat(tokenizer, one, "What?", config, return_output=True)[1]
                results.append(output.logprobs)
            kinds = cache.computed_tiles
    half = len(results) // 2
    for computed, reused in zip(results[:half], results[half:]):
        np.testing.assert_array_equal(np.asarray(computed), np.asarray(reused))
    assert kinds == 3 * len(pixels)  # doubles are floats


def test_taps_see_everything(fast_model: Any, tokenizer: Any) -> None:
    pixels = image("land.jpg")
    recorded = []
    with empty_cache(fast_model):
        for _ in range(2):
            with fast_model.taps("vit_embeds", "llm.layer2") as taps:
                fast_model.chat(tokenizer, pixels, "What is it?", dict(CONFIG))
            recorded.append((taps["vit_embeds"], taps["llm.layer2"]))
            fast_model.chat(tokenizer, pixels, "What is it?", dict(CONFIG))
    for first, second in zip(*recorded):
        np.testing.assert_array_equal(first, second)
    assert len(recorded[0][0]) == len(pixels)


def test_hidden_states_of_the_whole_prompt(fast_model: Any, tokenizer: Any) -> None:
    config = dict(CONFIG, output_hidden_states=True)
    with empty_cache(fast_model):
        outputs = [
            fast_model.chat(tokenizer, None, "Hello", dict(config), return_output=True)[1]
            for _ in range(2)
        ]
    for first, second in zip(outputs[0].hidden_states[0], outputs[1].hidden_states[0]):
        np.testing.assert_array_equal(first, second)


def test_features_of_the_caller(fast_model: Any, tokenizer: Any) -> None:
    """``visual_features`` count, whatever is known of the pixels."""
    pixels = image("land.jpg", 1)
    token = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    fast_model.img_context_token_id = token
    ids = np.asarray([[1, *[token] * len(pixels) * fast_model.num_image_token, 5]])
    options = {"max_new_tokens": 1, "output_logits": True, "return_dict_in_generate": True}
    with empty_cache(fast_model):
        known = fast_model.generate(pixels, ids, **options)
        features = fast_model.extract_feature(pixels)
        same = fast_model.generate(pixels, ids, visual_features=features, **options)
        other = fast_model.generate(pixels, ids, visual_features=features * 2, **options)
    np.testing.assert_array_equal(known.logits[0], same.logits[0])
    assert not np.array_equal(known.logits[0], other.logits[0])
