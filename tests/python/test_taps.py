"""model.taps: what is recorded of which call, and how it lies."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

LONG = "A longer question about a street and the houses in it"


def tiles(model: Any, count: int) -> np.ndarray:
    size = model.config.force_image_size
    generator = np.random.default_rng(0)
    return generator.standard_normal((count, 3, size, size), dtype=np.float32)


def test_a_chat(model: Any, tokenizer: Any) -> None:
    """The rows of an answer are those of one pass over the prompt and the answer."""
    config = {"max_new_tokens": 5}
    with model.taps("llm.*") as taps:
        _, output = model.chat(tokenizer, None, "Hello", config, return_output=True)
    template = model.conv_template.copy()
    template.system_message = model.system_message
    template.append_message(template.roles[0], "Hello")
    template.append_message(template.roles[1], None)
    prompt = tokenizer(template.get_prompt())["input_ids"]
    ids = np.asarray([[*prompt, *output.token_ids[:-1]]])
    states = model(input_ids=ids, output_hidden_states=True).hidden_states
    layers = model.config.llm_config.num_hidden_layers
    names = ["llm.inputs_embeds", *(f"llm.layer{n}" for n in range(1, layers)), "llm.norm"]
    assert set(taps) == {*names, f"llm.layer{layers}"}
    for name, state in zip(names, states):
        np.testing.assert_array_equal(taps[name], state[0])


def test_images(fast_model: Any, tokenizer: Any) -> None:
    pixels = tiles(fast_model, 3)
    with fast_model.taps("vit_embeds", "vit.layer[12]") as taps:
        fast_model.chat(tokenizer, pixels[:2], "What?", {"max_new_tokens": 1})
        fast_model.extract_feature(pixels[2:])
    with fast_model.taps("vit.*") as vision_taps:
        states = fast_model.vision_model(pixels, output_hidden_states=True).hidden_states
    assert sorted(taps) == ["vit.layer1", "vit.layer2", "vit_embeds"]
    np.testing.assert_array_equal(taps["vit_embeds"], fast_model.extract_feature(pixels))
    np.testing.assert_array_equal(taps["vit.layer2"], states[2])
    np.testing.assert_array_equal(vision_taps["vit.embeddings"], states[0])
    np.testing.assert_array_equal(vision_taps["vit.layer3"], states[3])


def test_sequences_of_a_batch(fast_model: Any, tokenizer: Any) -> None:
    config = {"max_new_tokens": 3, "min_new_tokens": 3}
    with fast_model.taps("llm.layer2") as taps:
        fast_model.batch_chat(
            tokenizer, None, ["Hello", LONG], dict(config), num_patches_list=[[], []]
        )
    together = taps.sequences("llm.layer2")
    assert len(together) == 2
    np.testing.assert_array_equal(taps["llm.layer2"], np.concatenate(together))
    for question, rows in zip(["Hello", LONG], together):
        with fast_model.taps("llm.layer2") as alone:
            fast_model.chat(tokenizer, None, question, dict(config))
        np.testing.assert_array_equal(rows, alone["llm.layer2"])


def test_each_returned_sequence_has_its_own_rows(fast_model: Any, tokenizer: Any) -> None:
    config = {"do_sample": True, "seed": 2, "num_return_sequences": 3, "max_new_tokens": 4}
    ids = np.asarray([tokenizer("Hello")["input_ids"]])
    with fast_model.taps("llm.inputs_embeds") as taps:
        answers = fast_model.language_model.generate(ids, eos_token_id=[], **config)
    embeddings = fast_model.get_input_embeddings()
    for answer, rows in zip(answers, taps.sequences("llm.inputs_embeds")):
        np.testing.assert_array_equal(rows, embeddings(answer[:-1]))


@pytest.mark.parametrize("search", [{"penalty_alpha": 0.5, "top_k": 4}, {"num_beams": 1}])
def test_rejected_candidates_leave_no_rows(
    fast_model: Any, tokenizer: Any, search: dict[str, Any]
) -> None:
    ids = np.asarray([tokenizer("Hello")["input_ids"]])
    with fast_model.taps("llm.inputs_embeds") as taps:
        answer = fast_model.language_model.generate(
            ids, max_new_tokens=5, eos_token_id=[], **search
        )[0]
    rows = taps["llm.inputs_embeds"][: len(answer) - 1]
    np.testing.assert_array_equal(rows, fast_model.get_input_embeddings()(answer[:-1]))


def test_blocks_inside_each_other_and_other_threads(fast_model: Any, tokenizer: Any) -> None:
    ids = np.asarray([tokenizer("Hello")["input_ids"]])
    with fast_model.taps("llm.norm") as outer:
        fast_model(input_ids=ids)
        with fast_model.taps("llm.layer1") as inner:
            fast_model(input_ids=ids)
        thread = threading.Thread(target=lambda: fast_model(input_ids=ids))
        thread.start()
        thread.join()
    fast_model(input_ids=ids)
    assert len(outer.sequences("llm.norm")) == 2
    assert len(inner.sequences("llm.layer1")) == 1
    assert list(inner) == ["llm.layer1"]


def test_padding_is_left_out(fast_model: Any) -> None:
    ids = np.random.default_rng(0).integers(3, 300, (2, 12))
    mask = np.ones_like(ids)
    mask[0, :5], mask[1, 3] = 0, 0
    with fast_model.taps("llm.layer1") as taps:
        states = fast_model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
    for row, rows in enumerate(taps.sequences("llm.layer1")):
        np.testing.assert_array_equal(rows, states[1][row][mask[row] == 1])


def test_wrong_names(fast_model: Any) -> None:
    for names in (["vit.layer0"], ["llm.layer*", "logits"], []):
        with pytest.raises(ValueError, match=r"vit\.embeddings, vit\.layer1.*llm\.norm"):
            fast_model.taps(*names)
    with pytest.raises(TypeError, match="7"):
        fast_model.taps(7)
    with fast_model.taps("llm.norm") as taps:
        assert len(taps) == 0
        with pytest.raises(KeyError, match=r"llm\.norm"):
            taps["llm.norm"]


def test_tiles_of_two_sizes(fast_model: Any) -> None:
    small = tiles(fast_model, 1)
    large = np.tile(small, (1, 1, 2, 2))
    with fast_model.taps("vit_embeds") as taps:
        fast_model.extract_feature(small)
        fast_model.extract_feature(large)
    counts = [len(rows) for rows in taps.sequences("vit_embeds")]
    assert counts == [fast_model.num_image_token, 4 * fast_model.num_image_token]
    with pytest.raises(ValueError, match="sequences"):
        taps["vit_embeds"]
