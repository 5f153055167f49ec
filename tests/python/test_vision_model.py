"""InternVisionModel: alone, as the part of a chat model, and mlp1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA, read_json, read_safetensors, write_safetensors

from internvl_native import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    InternVisionConfig,
    InternVisionModel,
    InternVLChatModel,
)

CHAT = DATA / "ckpt_rmsnorm"


@pytest.fixture(scope="module")
def chat() -> Any:
    return AutoModel.from_pretrained(CHAT)


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as OpenGVLab/InternViT-*: tensors without "vision_model."."""
    folder = tmp_path_factory.mktemp("intern_vit")
    prefix = "vision_model."
    stored: dict[str, np.ndarray] = {}
    for file in CHAT.glob("*.safetensors"):
        stored.update(read_safetensors(file))
    tensors = {n[len(prefix) :]: t for n, t in stored.items() if n.startswith(prefix)}
    write_safetensors(folder / "model.safetensors", tensors)
    InternVisionConfig(**read_json(CHAT / "config.json")["vision_config"]).save_pretrained(folder)
    return folder


def pixels(tiles: int = 2, size: int = 112) -> Any:
    shape = (tiles, 3, size, size)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_a_standalone_checkpoint(standalone: Path, chat: Any) -> None:
    model = AutoModel.from_pretrained(standalone)
    assert isinstance(model, InternVisionModel)
    assert not model.can_generate()
    assert AutoConfig.from_pretrained(standalone).model_type == "intern_vit_6b"
    assert list(model.state_dict()) == list(chat.vision_model.state_dict())
    np.testing.assert_array_equal(
        model(pixels()).last_hidden_state, chat.vision_model(pixels()).last_hidden_state
    )


def test_the_part_of_a_chat_checkpoint(
    standalone: Path, chat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model, info = InternVisionModel.from_pretrained(
        CHAT, torch_dtype="bfloat16", output_loading_info=True
    )
    assert caplog.records == []
    assert info["unexpected_keys"] == []
    assert isinstance(model.config, InternVisionConfig)
    assert model.config.num_hidden_layers == chat.config.vision_config.num_hidden_layers
    wanted = InternVisionModel.from_pretrained(standalone, torch_dtype="bfloat16")
    np.testing.assert_array_equal(
        model(pixels()).last_hidden_state, wanted(pixels()).last_hidden_state
    )
    given = InternVisionModel.from_pretrained(CHAT, config=AutoConfig.from_pretrained(CHAT))
    assert given.num_parameters() == model.num_parameters()


def test_classes_say_which_checkpoints_they_load(standalone: Path, tmp_path: Path) -> None:
    assert isinstance(AutoModelForCausalLM.from_pretrained(CHAT), InternVLChatModel)
    with pytest.raises(ValueError, match="expected a model_type of internvl_chat, got 'intern_vit"):
        AutoModelForCausalLM.from_pretrained(standalone)
    with pytest.raises(ValueError, match="model_type internvl_chat, got intern_vit_6b"):
        InternVLChatModel.from_pretrained(standalone)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for auto in (AutoModel, AutoModelForCausalLM):
        with pytest.raises(ValueError, match="internvl_chat, intern_vit_6b, got 'bert'"):
            auto.from_pretrained(tmp_path)


def test_outputs(chat: Any) -> None:
    tower, depth = chat.vision_model, chat.config.vision_config.num_hidden_layers
    output = tower(pixels(), output_hidden_states=True)
    tokens = 1 + (112 // 14) ** 2
    assert output.last_hidden_state.shape == (2, tokens, 128)
    np.testing.assert_array_equal(output.pooler_output, output.last_hidden_state[:, 0])
    assert len(output.hidden_states) == depth + 1
    np.testing.assert_array_equal(output.hidden_states[-1], output.last_hidden_state)
    assert output.attentions is None
    assert tower(pixels()).hidden_states is None
    assert len(tower(pixels(), return_dict=False)) == 2
    assert len(tower.forward(pixels(), output_hidden_states=True, return_dict=False)) == 3


def test_the_config_decides_what_a_call_leaves_open() -> None:
    tower = InternVisionModel.from_pretrained(CHAT)
    depth = tower.config.num_hidden_layers
    tower.config.output_hidden_states = True
    tower.config.return_dict = False
    assert len(tower(pixels())) == 3
    tower.config.num_hidden_layers = 1  # has no effect on what is loaded, as in the reference
    assert len(tower(pixels())[2]) == 1 + depth


def test_embeddings_in_place_of_pixels(chat: Any) -> None:
    tower = chat.vision_model
    wanted = tower(pixels(9), output_hidden_states=True)
    actual = tower(pixel_embeds=wanted.hidden_states[0], output_hidden_states=True)
    for mine, its in zip(actual.hidden_states, wanted.hidden_states):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(actual.last_hidden_state, wanted.last_hidden_state)


def test_embeddings_and_encoder_are_the_tower(chat: Any) -> None:
    tower = chat.vision_model
    wanted = tower(pixels(), output_hidden_states=True)
    embeds = tower.embeddings(pixels())
    np.testing.assert_array_equal(embeds, wanted.hidden_states[0])
    np.testing.assert_array_equal(tower.get_input_embeddings()(pixels()), embeds)
    output = tower.encoder(inputs_embeds=embeds, output_hidden_states=True)
    assert list(output) == ["last_hidden_state", "hidden_states"]
    np.testing.assert_array_equal(output.last_hidden_state, wanted.last_hidden_state)
    np.testing.assert_array_equal(output.hidden_states, wanted.hidden_states)
    assert len(tower.encoder(embeds, return_dict=False)) == 1


def test_tower_shuffle_and_projector_are_extract_feature(chat: Any) -> None:
    with chat.taps("pixel_shuffle") as taps:
        features = chat.extract_feature(pixels())
    np.testing.assert_array_equal(chat.mlp1(taps["pixel_shuffle"]), features)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda chat: chat.vision_model(), "pixel_values: expected .*or pixel_embeds, got neither"),
        (lambda chat: chat.vision_model(pixels()[0]), "pixel_values: expected 4 dimensions"),
        (
            lambda chat: chat.vision_model(pixel_embeds=np.zeros((1, 5, 7), np.float32)),
            r"pixel_embeds: expected \(tiles, tokens, 128\), got \(1, 5, 7\)",
        ),
        (lambda chat: chat.vision_model.embeddings(0.5), "pixel_values: expected 4 dimensions"),
        (
            lambda chat: chat.vision_model.encoder("x"),
            "inputs_embeds: expected floats",
        ),
        (lambda chat: chat.mlp1(np.zeros((2, 5), np.float32)), "vit_embeds: expected .*512"),
        (lambda chat: chat.mlp1(np.float32(3)), "vit_embeds: expected .*512"),
    ],
)
def test_misuse_is_named(chat: Any, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(chat)


def test_torch(chat: Any) -> None:
    torch = optional("torch", "test-extras")
    model = InternVisionModel.from_pretrained(CHAT, torch_dtype=torch.bfloat16)
    values = torch.from_numpy(pixels()).to(torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model.to("cpu").eval()(values, output_hidden_states=True)
    assert {state.dtype for state in output.hidden_states} == {torch.bfloat16}
    assert output.pooler_output.dtype == torch.bfloat16
    features = chat.mlp1(torch.zeros(2, 16, 512))
    assert (features.dtype, tuple(features.shape)) == (torch.float32, (2, 16, 128))


def test_taps_and_life_time(standalone: Path, chat: Any) -> None:
    model = AutoModel.from_pretrained(standalone)
    with model.taps("vit.layer1") as taps:
        states = model(pixels(), output_hidden_states=True).hidden_states
    np.testing.assert_array_equal(taps["vit.layer1"], states[1])
    with pytest.raises(AttributeError, match=r"language_model: .*InternVisionModel\.from_pretr"):
        del chat.language_model
