"""Parameters and modules: names, shapes, order and values of the checkpoint, read when used."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA, EXTRA, read_safetensors

from internvl_native import AutoModel, bfloat16
from internvl_native.parameters import Parameter

CHECKPOINT = DATA / "ckpt_ntk"
# What named_parameters() of the reference gives for one layer of each kind, and around them.
VISION = [
    "embeddings.class_embedding", "embeddings.position_embedding",
    "embeddings.patch_embedding.weight", "embeddings.patch_embedding.bias",
    *(f"encoder.layers.0.{name}" for name in (
        "ls1", "ls2", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
        "mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias",
        "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
    )),
]  # fmt: skip
INTERNLM2 = [
    "model.tok_embeddings.weight",
    *(f"model.layers.0.{name}.weight" for name in (
        "attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w3", "feed_forward.w2",
        "attention_norm", "ffn_norm",
    )),
    "model.norm.weight", "output.weight",
]  # fmt: skip
LLAMA = [
    "model.embed_tokens.weight",
    *(f"model.layers.0.{name}.weight" for name in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm",
        "post_attention_layernorm",
    )),
    "model.norm.weight", "lm_head.weight",
]  # fmt: skip
PROJECTOR = ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]


def prefixed(prefix: str, names: list[str]) -> list[str]:
    return [f"{prefix}.{name}" for name in names]


def first_layers(names: list[str]) -> list[str]:
    return [name for name in names if "layers." not in name or "layers.0." in name]


@pytest.fixture(scope="module")
def chat() -> Any:
    return AutoModel.from_pretrained(CHECKPOINT)


def test_names_in_the_order_of_the_reference(chat: Any) -> None:
    names = [name for name, _ in chat.named_parameters()]
    assert first_layers(names) == [
        *prefixed("vision_model", VISION),
        *prefixed("language_model", INTERNLM2),
        *prefixed("mlp1", PROJECTOR),
    ]
    assert list(chat.state_dict()) == names
    assert list(chat.state_dict(prefix="model.")) == prefixed("model", names)
    assert [name for name, _ in chat.named_parameters(recurse=False)] == []
    llama = AutoModel.from_pretrained(EXTRA / "ckpt_llama")
    assert first_layers(list(llama.language_model.state_dict())) == LLAMA


@pytest.mark.parametrize("name", ["ckpt_ntk", "ckpt_layernorm"])
def test_values_are_those_of_the_files(name: str) -> None:
    model = AutoModel.from_pretrained(DATA / name, torch_dtype="bfloat16")
    stored: dict[str, np.ndarray] = {}
    for file in sorted((DATA / name).glob("*.safetensors")):
        stored.update(read_safetensors(file))
    assert set(stored) == set(model.state_dict())
    for key, parameter in model.named_parameters():
        expected = bfloat16.widen(bfloat16.rounded(stored[key]))
        np.testing.assert_array_equal(np.asarray(parameter), expected)
    for key, parameter in model.float().named_parameters():
        np.testing.assert_array_equal(np.asarray(parameter), stored[key])


def test_counting_reads_nothing(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parameter, "materialize", None)
    monkeypatch.setattr(Parameter, "__array__", None)
    count = sum(parameter.numel() for parameter in chat.parameters())
    assert count == chat.num_parameters() == 482048  # counted by the reference
    assert chat.num_parameters(exclude_embeddings=True) == 341120
    assert chat.num_parameters(only_trainable=True) == 0
    assert chat.get_memory_footprint() == 4 * count
    assert sum(p.nbytes for p in chat.vision_model.parameters()) < 4 * count


def test_what_a_parameter_says(chat: Any) -> None:
    weight = chat.vision_model.embeddings.patch_embedding.weight
    assert tuple(weight.shape) == (64, 3, 14, 14)
    assert tuple(weight.size()) == (64, 3, 14, 14)
    assert (weight.size(0), weight.dim(), weight.ndim, len(weight)) == (64, 4, 4, 64)
    assert (weight.element_size(), weight.nbytes) == (4, 64 * 3 * 14 * 14 * 4)
    assert weight.dtype == chat.dtype
    assert str(weight.device) == "cpu"
    assert weight.is_floating_point()
    assert not weight.requires_grad
    weight.requires_grad = False
    assert weight.data is weight.detach() is weight.requires_grad_(False)
    with pytest.raises(ValueError, match="no gradients"):
        weight.requires_grad = True


def test_what_a_part_says(chat: Any) -> None:
    assert repr(chat.language_model.model.norm) == "FinalNorm(weight: (64,))"
    assert repr(chat.vision_model.encoder.layers[0].mlp) == "Module(fc1, fc2)"


def test_a_parameter_computes_as_its_values(chat: Any) -> None:
    weight = chat.language_model.model.norm.weight
    values = np.asarray(weight)
    np.testing.assert_array_equal(np.asarray(weight * 2 + 1), values * 2 + 1)
    np.testing.assert_array_equal(np.asarray(1 - weight), 1 - values)
    np.testing.assert_array_equal(np.asarray(weight[:3]), values[:3])
    np.testing.assert_array_equal(np.asarray(weight.float()), values)
    np.testing.assert_array_equal(np.asarray(copy.deepcopy(weight)), values)
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(weight))), values)
    assert float(weight.mean()) == pytest.approx(values.mean())
    assert not hasattr(weight, "no_such_attribute")


def test_weights_cannot_be_changed(chat: Any) -> None:
    weight = chat.language_model.model.norm.weight
    with pytest.raises(AttributeError, match=r"mul_: .*read-only: clone\(\)"):
        weight.data.mul_(2)
    with pytest.raises(TypeError, match="read-only"):
        weight[0] = 0
    with pytest.raises(AttributeError, match=r"weight: .*checkpoint's files"):
        chat.language_model.model.norm.weight = np.zeros(128)
    with pytest.raises(AttributeError, match=r"mlp1: .*checkpoint's files"):
        chat.mlp1 = None


def test_modules(chat: Any) -> None:
    assert [name for name, _ in chat.named_children()] == ["vision_model", "language_model", "mlp1"]
    names = [name for name, _ in chat.named_modules()]
    assert names[:4] == [
        "", "vision_model", "vision_model.embeddings", "vision_model.embeddings.patch_embedding",
    ]  # fmt: skip
    assert len(list(chat.modules())) == len(names)
    layers = chat.vision_model.encoder.layers
    assert len(layers) == len(list(layers)) == chat.config.vision_config.num_hidden_layers
    last = layers[-1].attn.qkv.weight
    assert chat.get_parameter("vision_model.encoder.layers.1.attn.qkv.weight").shape == last.shape
    assert chat.get_submodule("mlp1") is chat.mlp1
    assert tuple(chat.mlp1[3].weight.shape) == (64, 64)
    assert (chat.mlp1[1].in_features, chat.mlp1[-1].out_features) == (256, 64)
    assert not hasattr(chat.mlp1[0], "out_features")
    assert list(chat.buffers()) == list(chat.named_buffers()) == []
    with pytest.raises(IndexError, match="expected one of 0, 1, got 2"):
        layers[2]
    with pytest.raises(AttributeError, match="no attribute 'layer'"):
        chat.get_submodule("vision_model.layer")
    with pytest.raises(AttributeError, match="is not a parameter"):
        chat.get_parameter("mlp1")


def test_what_there_cannot_be_says_why(chat: Any) -> None:
    for name, why in {
        "register_forward_hook": r"model\.taps",
        "load_state_dict": "from_pretrained",
        "resize_token_embeddings": "from_pretrained",
        "gradient_checkpointing_enable": "does not train",
        "push_to_hub": "save_pretrained",
        "merge_and_unload": "leave it out",
        "_parameters": "device_map",
    }.items():
        assert not hasattr(chat, name)
        with pytest.raises(AttributeError, match=f"{name}'?: .*{why}"):
            getattr(chat, name)
    for part in (chat.vision_model, chat.mlp1):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copy.deepcopy(part)


def test_parts_have_the_dtype_of_the_model() -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    layer = model.vision_model.encoder.layers[0]
    assert layer.to("cpu").float().eval() is layer
    for part in (model.vision_model, layer, model.mlp1):
        with pytest.raises(ValueError, match="convert the model"):
            part.half()
    model.bfloat16()
    assert str(layer.dtype) == str(layer.ls1.dtype) == str(model.vision_model.dtype)
    assert str(layer.dtype).endswith("bfloat16")


def test_torch() -> None:
    torch = optional("torch", "test-extras")
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    weight = model.mlp1[1].weight
    tensor = weight.cpu()
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == weight.dtype == torch.bfloat16
    assert isinstance(weight.shape, torch.Size)
    assert torch.equal(weight, tensor)
    assert torch.equal(torch.cat([weight, tensor]), torch.cat([tensor, tensor]))
    assert torch.equal(tensor @ weight.T.float().to(tensor.dtype), tensor @ tensor.T)
    assert torch.equal(torch.nn.functional.linear(tensor, weight), tensor @ tensor.T)
    for changed in (
        torch.nn.init.zeros_,
        torch.nn.init.normal_,
        lambda p: torch.add(tensor, 1, out=p),
    ):
        with pytest.raises((AttributeError, TypeError), match="read-only"):
            changed(weight)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 0


def test_torch_saves_a_state_dict(tmp_path: Any) -> None:
    torch = optional("torch", "test-extras")
    model = AutoModel.from_pretrained(CHECKPOINT)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(parameter, state[name]) for name, parameter in model.named_parameters())


def test_children_by_name() -> None:
    """accelerate's `unwrap_model` reads `_modules`."""
    model = AutoModel.from_pretrained(CHECKPOINT)
    assert list(model._modules) == [name for name, _ in model.named_children()]
    assert type(model._modules["mlp1"]) is type(model.mlp1)
