"""forward, caches and the language model: what the reference's files do not show."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any, Callable

import numpy as np
import pytest
from tests.support.goldens import DATA

from internvl_native import AutoModel

IDS = np.random.default_rng(0).integers(3, 300, (2, 40))
MASK = np.ones_like(IDS)
MASK[1, :7] = 0


def generated_logits(model: Any, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return np.asarray(output.logits[0])


def test_the_bits_of_generate(model: Any) -> None:
    """Also with positions that leave padding out, as generate has them."""
    positions = np.where(MASK == 0, 1, np.cumsum(MASK, axis=1) - 1)
    logits = model(input_ids=IDS, attention_mask=MASK, position_ids=positions).logits
    np.testing.assert_array_equal(logits[:, -1], generated_logits(model, IDS, MASK))


def test_alone_and_in_a_batch(model: Any) -> None:
    together = model(input_ids=IDS, attention_mask=MASK).logits
    for row in range(2):
        alone = model(input_ids=IDS[row : row + 1], attention_mask=MASK[row : row + 1]).logits
        np.testing.assert_array_equal(together[row], alone[0])


@pytest.mark.parametrize("steps", [[40], [1] * 40, [5, 20, 15], [39, 1]])
def test_caches_in_steps(model: Any, steps: list[int]) -> None:
    whole = model(input_ids=IDS, attention_mask=MASK).logits
    cache, start, parts = None, 0, []
    for count in steps:
        output = model.language_model(
            input_ids=IDS[:, start : start + count],
            attention_mask=MASK[:, : start + count],
            past_key_values=cache,
        )
        cache, start = output.past_key_values, start + count
        parts.append(output.logits)
        assert cache.get_seq_length() == start
    seeing = np.cumsum(MASK, axis=1) > 0  # padding in front sees what comes later
    np.testing.assert_array_equal(np.concatenate(parts, axis=1)[seeing], whole[seeing])


def test_copies_of_a_cache(fast_model: Any) -> None:
    """Programs written for caches that grow copy them, with the outputs that hold them."""
    output = fast_model(input_ids=IDS)
    expected = fast_model(input_ids=IDS[:, :3], past_key_values=output.past_key_values).logits
    for cache in (
        copy.copy(output.past_key_values),
        copy.deepcopy(output.past_key_values),
        copy.deepcopy(output).past_key_values,
    ):
        logits = fast_model(input_ids=IDS[:, :3], past_key_values=cache).logits
        np.testing.assert_array_equal(logits, expected)
    with pytest.raises(TypeError, match="past_key_values: cannot be pickled"):
        pickle.dumps(output)


def test_a_cache_never_changes(fast_model: Any) -> None:
    """A hundred and thirty tokens fill a page of the cache and a bit of the next."""
    ids = np.resize(IDS, (2, 130))
    cache = fast_model(input_ids=ids).past_key_values
    first = fast_model(input_ids=IDS[:, :3], past_key_values=cache).logits
    results: list[Any] = []

    def branch(row: int) -> None:
        for _ in range(5):
            picked = cache.select([row, row])
            fast_model(input_ids=IDS[:, 3:9], past_key_values=picked)
            results.append((row, fast_model(input_ids=IDS[:, :3], past_key_values=cache).logits))

    threads = [threading.Thread(target=branch, args=(row,)) for row in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 10
    for _, logits in results:
        np.testing.assert_array_equal(logits, first)
    swapped = fast_model(input_ids=IDS[::-1, :3], past_key_values=cache.select([1, 0])).logits
    np.testing.assert_array_equal(swapped[::-1], first)


def test_longer_than_a_pass_of_prefill(fast_model: Any) -> None:
    ids = np.resize(IDS, (2, 700))
    mask = np.ones_like(ids)
    mask[0, 600:] = 0
    mask[1, 3:650:7] = 0
    whole = fast_model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    cache = fast_model(input_ids=ids[:, :530], attention_mask=mask[:, :530]).past_key_values
    rest = fast_model(input_ids=ids[:, 530:], attention_mask=mask, past_key_values=cache)
    np.testing.assert_array_equal(rest.logits, whole.logits[:, 530:])
    head = fast_model.get_output_embeddings()
    np.testing.assert_array_equal(head(whole.hidden_states[-1]), whole.logits)


def test_loss_without_all_logits(fast_model: Any) -> None:
    labels = np.where(MASK == 0, -100, IDS)
    whole = fast_model(input_ids=IDS, labels=labels)
    kept = fast_model(input_ids=IDS, labels=labels, logits_to_keep=2)
    np.testing.assert_array_equal(kept.logits, whole.logits[:, -2:])
    assert kept.loss == whole.loss
    assert np.isnan(fast_model(input_ids=IDS, labels=np.full_like(IDS, -100)).loss)
    text = fast_model.language_model(input_ids=IDS, labels=labels, return_dict=False)
    assert text[0] == whole.loss
    assert [type(part).__name__ for part in text[1:]] == ["ndarray", "KeyValueCache"]


def test_the_head_reads_every_layer(model: Any) -> None:
    """The logit lens: the final norm and the head, on what the layers compute."""
    decoder = model.language_model.model
    layer = f"llm.layer{model.config.llm_config.num_hidden_layers}"
    with model.taps(layer, "llm.norm") as taps:
        output = decoder(input_ids=IDS[:1], output_hidden_states=True)
    np.testing.assert_array_equal(output.last_hidden_state, output.hidden_states[-1])
    np.testing.assert_allclose(decoder.norm(taps[layer]), taps["llm.norm"], rtol=1e-5, atol=1e-5)
    head = model.get_output_embeddings()
    logits = model.language_model(input_ids=IDS[:1]).logits
    np.testing.assert_array_equal(head(output.last_hidden_state), logits)
    lens = head(decoder.norm(output.hidden_states[1]))
    assert lens.shape == logits.shape
    assert (lens != logits).any()


def test_the_decoder_goes_on_from_its_cache(fast_model: Any) -> None:
    decoder = fast_model.language_model.model
    whole = decoder(IDS, MASK).last_hidden_state
    begin = decoder(IDS[:, :9], MASK[:, :9], return_dict=False)
    assert [type(part).__name__ for part in begin] == ["ndarray", "KeyValueCache"]
    rest = decoder(IDS[:, 9:], MASK, past_key_values=begin[1], use_cache=False)
    np.testing.assert_array_equal(rest.last_hidden_state, whole[:, 9:])
    assert rest.past_key_values is None


def test_embeddings_are_those_of_ids(model: Any) -> None:
    embeddings = model.get_input_embeddings()
    assert embeddings(IDS).shape == (*IDS.shape, embeddings.embedding_dim)
    assert embeddings(5).shape == (embeddings.embedding_dim,)
    by_ids = model.language_model(input_ids=IDS).logits
    by_rows = model.language_model(inputs_embeds=embeddings(IDS)).logits
    np.testing.assert_array_equal(by_ids, by_rows)


@pytest.mark.parametrize(
    ("folder", "first", "last"),
    [("ckpt_rmsnorm", "tok_embeddings", "output"), ("extra/ckpt_llama", "embed_tokens", "lm_head")],
)
def test_the_ends_of_the_decoder_by_their_names(folder: str, first: str, last: str) -> None:
    llm = AutoModel.from_pretrained(DATA / folder).language_model
    embeddings, head = getattr(llm.model, first), getattr(llm, last)
    np.testing.assert_array_equal(embeddings(IDS), llm.get_input_embeddings()(IDS))
    np.testing.assert_array_equal(embeddings(IDS), llm.model.get_input_embeddings()(IDS))
    assert llm.vocab_size == embeddings.num_embeddings == head.out_features
    output = llm(input_ids=IDS, output_hidden_states=True)
    np.testing.assert_array_equal(head(output.hidden_states[-1]), output.logits)


def test_parts_make_extract_feature(model: Any) -> None:
    size = model.config.force_image_size
    pixels = np.random.default_rng(1).standard_normal((2, 3, size, size), dtype=np.float32)
    states = model.vision_model(pixels, output_hidden_states=True).hidden_states
    patches = states[model.select_layer][:, 1:]
    side = round(patches.shape[1] ** 0.5)
    grid = patches.reshape(2, side, side, -1)
    shuffled = model.pixel_shuffle(grid, model.downsample_ratio)
    features = model.mlp1(shuffled.reshape(2, -1, shuffled.shape[-1]))
    np.testing.assert_array_equal(features, model.extract_feature(pixels))


def test_a_decoding_loop_generates_what_generate_does(fast_model: Any) -> None:
    decoder = fast_model.language_model
    expected = decoder.generate(IDS, max_new_tokens=6, eos_token_id=[])
    ids, cache = IDS, None
    for _ in range(6):
        fresh = ids if cache is None else ids[:, -1:]
        output = decoder(input_ids=fresh, past_key_values=cache, logits_to_keep=1)
        cache = output.past_key_values
        ids = np.concatenate([ids, output.logits.argmax(axis=-1)], axis=1)
    np.testing.assert_array_equal(ids, expected)
    embedded = decoder.generate(
        inputs_embeds=decoder.get_input_embeddings()(IDS), max_new_tokens=6, eos_token_id=[]
    )
    np.testing.assert_array_equal(embedded[:, 1:], expected[:, 40:])


def pixels(model: Any) -> np.ndarray:
    return np.zeros((2, 3, *[model.config.force_image_size] * 2), np.float32)


WRONG: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "attentions": (lambda m: m(input_ids=IDS, output_attentions=True),
                   ValueError, "output_attentions: .*taps"),
    "too few image tokens": (lambda m: m(pixels(m), IDS),
                             ValueError, r"rows, but input_ids hold 0.*size"),
    "flags of three tiles": (lambda m: m(pixels(m), IDS, image_flags=[1, 0, 1]),
                             ValueError, r"image_flags: .*2 tiles, got shape \(3,\)"),
    "no ids": (lambda m: m(), TypeError, "input_ids: .*got None"),
    "ids and embeddings": (lambda m: m.language_model(IDS, inputs_embeds=np.zeros((2, 40, 128))),
                           ValueError, "got both"),
    "neither": (lambda m: m.language_model(), ValueError, "got neither"),
    "a norm of another width": (lambda m: m.language_model.model.norm(np.zeros((4, 5))),
                                ValueError, r"hidden_states: .*\(4, 5\)"),
    "embeddings of another width": (lambda m: m.language_model(inputs_embeds=np.zeros((2, 4, 5))),
                                    ValueError, r"inputs_embeds: .*\(2, 4, 5\)"),
    "mask of another length": (lambda m: m(input_ids=IDS, attention_mask=MASK[:, 1:]),
                               ValueError, r"attention_mask: .*\(2, 40\).*\(2, 39\)"),
    "negative position": (lambda m: m(input_ids=IDS, position_ids=np.arange(-1, 39)),
                          ValueError, "position_ids: .*-1 to 38"),
    "positions of another length": (lambda m: m(input_ids=IDS, position_ids=[[1, 2]]),
                                    ValueError, r"position_ids: .*\(1, 2\)"),
    "labels of another shape": (lambda m: m(input_ids=IDS, labels=IDS[:, 1:]),
                                ValueError, r"labels: .*\(2, 39\)"),
    "label outside the vocabulary": (lambda m: m(input_ids=IDS, labels=np.full_like(IDS, 10**6)),
                                     IndexError, r"labels: .*2202.*got 1000000"),
    "negative logits_to_keep": (lambda m: m(input_ids=IDS, logits_to_keep=-1),
                                ValueError, "logits_to_keep: .*-1"),
    "a cache of tuples": (lambda m: m(input_ids=IDS, past_key_values=((1, 2),)),
                          TypeError, "past_key_values: .*got tuple"),
    "a cache of three": (
        lambda m: m(input_ids=IDS,
                    past_key_values=m(input_ids=IDS).past_key_values.select([0, 1, 1])),
        ValueError, "past_key_values: .*2 sequences, got one of 3"),
    "a row that is not there": (lambda m: m(input_ids=IDS).past_key_values.select([2]),
                                ValueError, r"\[0, 2\), got 2"),
    "another mask in front": (
        lambda m: m(input_ids=IDS, attention_mask=np.hstack([MASK, MASK]),
                    past_key_values=m(input_ids=IDS).past_key_values),
        ValueError, "attention_mask: .*cached tokens"),
    "a look into the cache": (lambda m: m(input_ids=IDS).past_key_values[0],
                              TypeError, "get_seq_length"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(fast_model: Any, case: str) -> None:
    call, error, message = WRONG[case]
    fast_model.img_context_token_id = 2000
    with pytest.raises(error, match=message):
        call(fast_model)
