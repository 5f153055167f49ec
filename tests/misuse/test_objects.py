"""Models, their parts and parameters as objects: views, attributes, placement, copies."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
from tests.misuse.bench import CHECKPOINT, Bench, Table, pixels

import internvl_native
from internvl_native import AutoModel, AutoTokenizer


def parameter(bench: Bench) -> Any:
    return next(bench.model.parameters())


def after_setting(bench: Bench, name: str, value: Any) -> Any:
    """A chat after a caller has put this value in place of an attribute's."""
    before = getattr(bench.model, name)
    setattr(bench.model, name, value)
    try:
        return bench.chat(pixels())
    finally:
        setattr(bench.model, name, before)


VIEWS: Table = {
    "vision_model of nothing": (
        lambda b: b.model.vision_model(), ValueError, "pixel_values: .*got neither",
    ),
    "vision_model of a path": (
        lambda b: b.model.vision_model("a.jpg"), ValueError, "pixel_values: .*load_image",
    ),
    "vision_model of one tile": (
        lambda b: b.model.vision_model(pixels(3, 112, 112)), ValueError, "4 dimensions",
    ),
    "vision_model of embeddings of another width": (
        lambda b: b.model.vision_model(pixel_embeds=pixels(1, 65, 5)), ValueError, "pixel_embeds",
    ),
    "vision_model of rows": (
        lambda b: b.model.vision_model(pixel_embeds=pixels(65, 5)), ValueError, "pixel_embeds",
    ),
    "vision_model of text": (
        lambda b: b.model.vision_model(pixel_embeds="x"), ValueError, "pixel_embeds: .*floats",
    ),
    "vision_model with a mask": (
        lambda b: b.model.vision_model(pixels(), attention_mask=1), TypeError, "attention_mask",
    ),
    "mlp1 of another width": (
        lambda b: b.model.mlp1(pixels(1, 16, 5)), ValueError, r"vit_embeds: .*got.*5",
    ),
    "mlp1 of a number": (lambda b: b.model.mlp1(0.5), ValueError, "vit_embeds: "),
    "mlp1 of pixels of a file": (
        lambda b: b.model.mlp1("a.jpg"), ValueError, "vit_embeds: expected floats",
    ),
    "mlp1 of NaN": (
        lambda b: b.model.mlp1(np.full((1, 4), np.nan)), ValueError, "vit_embeds: .*NaN",
    ),
    "a layer called": (
        lambda b: b.model.vision_model.encoder.layers[0](pixels()),
        TypeError, "runs inside the engine only",
    ),
    "a layer that is not there": (
        lambda b: b.model.vision_model.encoder.layers[99], IndexError, "got 99",
    ),
    "a layer taken out": (
        lambda b: b.model.language_model.model.layers.pop(-1),
        AttributeError, r"'pop': the engine holds all layers; .*num_hidden_layers",
    ),
    "layers by name": (
        lambda b: b.model.vision_model.encoder.layers["0"], TypeError,
        "index: expected an integer, got '0'",
    ),
    "a part with a typo": (
        lambda b: b.model.vision_modle, AttributeError, "no attribute 'vision_modle'",
    ),
    "a submodule that is not there": (
        lambda b: b.model.get_submodule("vision_model.decoder"), AttributeError, "decoder",
    ),
    "a parameter that is a module": (
        lambda b: b.model.get_parameter("vision_model.encoder"), AttributeError, "not a parameter",
    ),
    "hooks": (
        lambda b: b.model.register_forward_hook(print), AttributeError, "hook.*model.taps",
    ),
    "training": (lambda b: b.model.train(), ValueError, "does not train"),
    "gradients": (lambda b: b.model.requires_grad_(), ValueError, "no gradients"),
    "load_state_dict": (
        lambda b: b.model.load_state_dict({}), AttributeError, "load_state_dict': weights are",
    ),
    "resize_token_embeddings": (
        lambda b: b.model.resize_token_embeddings(5), AttributeError, "resize_token_embeddings",
    ),
}  # fmt: skip

PARAMETERS: Table = {
    "a weight replaced": (
        lambda b: setattr(b.model.mlp1[1], "weight", pixels()), AttributeError, "weight: weights",
    ),
    "a weight deleted": (lambda b: delattr(b.model.mlp1[1], "weight"), AttributeError, "weight: "),
    "a part replaced": (
        lambda b: setattr(b.model, "vision_model", None), AttributeError, "vision_model: weights",
    ),
    "a part deleted": (
        lambda b: delattr(b.model, "language_model"), AttributeError, "language_model: the engine",
    ),
    "an element set": (
        lambda b: parameter(b).__setitem__(0, 1), TypeError, r"read-only: clone\(\)",
    ),
    "in place": (lambda b: parameter(b).mul_(2), AttributeError, r"mul_: .*read-only"),
    "gradients": (lambda b: parameter(b).requires_grad_(), ValueError, "no gradients"),
    "a gradient asked for": (
        lambda b: setattr(parameter(b), "requires_grad", True), ValueError, "no gradients",
    ),
}  # fmt: skip

ATTRIBUTES: Table = {
    "system_message None": (
        lambda b: after_setting(b, "system_message", None), TypeError,
        "system_message: expected a str, got NoneType",
    ),
    "system_message a list": (
        lambda b: after_setting(b, "system_message", ["x"]), TypeError, "system_message: .*list",
    ),
    "template unknown": (
        lambda b: after_setting(b, "template", "vicuna"), ValueError,
        "template: expected one of internlm2-chat, .*got 'vicuna'",
    ),
    "template an object": (
        lambda b: after_setting(b, "template", b.model.conv_template), TypeError,
        "template: expected a str, got Conversation",
    ),
    "template None": (
        lambda b: after_setting(b, "template", None), TypeError, "template: .*NoneType",
    ),
    "num_image_token 0": (
        lambda b: after_setting(b, "num_image_token", 0), ValueError, "16 rows.*0 image tokens",
    ),
    "num_image_token as text": (
        lambda b: after_setting(b, "num_image_token", "16"), TypeError,
        "num_image_token: expected an integer, got '16'",
    ),
    "num_image_token a fraction": (
        lambda b: after_setting(b, "num_image_token", 16.0), TypeError,
        "num_image_token: expected an integer, got 16.0",
    ),
    "generation_config a dict": (
        lambda b: after_setting(b, "generation_config", {"top_k": 2}), TypeError,
        "generation_config.*GenerationConfig, got dict",
    ),
    "generation_config None": (
        lambda b: after_setting(b, "generation_config", None), TypeError,
        "generation_config.*got NoneType",
    ),
    "select_layer": (
        lambda b: setattr(b.model, "select_layer", -2), ValueError, "select_layer: expected -1",
    ),
    "ps_version": (
        lambda b: setattr(b.model, "ps_version", "v3"), ValueError, "ps_version: .*'v3'",
    ),
    "dtype": (lambda b: setattr(b.model, "dtype", "float16"), AttributeError, "dtype"),
    "device": (lambda b: setattr(b.model, "device", "cuda"), AttributeError, "device"),
    "an unknown template": (
        lambda b: internvl_native.get_conv_template("vicuna"), ValueError,
        "template: expected one of internlm2-chat",
    ),
    "no template": (
        lambda b: internvl_native.get_conv_template(None),  # type: ignore[arg-type]
        TypeError, "template: .*NoneType",
    ),
    "templates in a list": (
        lambda b: internvl_native.get_conv_template([]),  # type: ignore[arg-type]
        TypeError, "template: .*list",
    ),
    "a name of the package with a typo": (
        lambda b: internvl_native.AutoModle, AttributeError, "no attribute 'AutoModle'",
    ),
}  # fmt: skip

PLACEMENT: Table = {
    "an unknown device": (
        lambda b: b.model.to("nonsense"), TypeError, "to: expected a device.*got 'nonsense'",
    ),
    "an integer dtype": (lambda b: b.model.to("int8"), TypeError, "to: .*'int8'"),
    "float64": (
        lambda b: b.model.to(np.float64), ValueError, "float32, bfloat16, float16.*float64",
    ),
    "a list": (lambda b: b.model.to(["cpu"]), TypeError, r"to: .*got \['cpu'\]"),
    "a part's dtype": (
        lambda b: b.model.vision_model.half(), ValueError, "to: .*one dtype; convert the model",
    ),
    "double": (lambda b: b.model.double(), AttributeError, "double': arithmetic is in float32"),
    "pickle": (lambda b: pickle.dumps(b.model), TypeError, "cannot be copied or pickled"),
    "deepcopy": (lambda b: copy.deepcopy(b.model), TypeError, "cannot be copied or pickled"),
    "copy": (lambda b: copy.copy(b.model), TypeError, "cannot be copied or pickled"),
    "pickled part": (
        lambda b: pickle.dumps(b.model.language_model), TypeError, "cannot be copied or pickled",
    ),
    "sent to a process": (
        lambda b: multiprocessing.get_context("spawn").Process(target=b.model.chat).start(),
        TypeError, "cannot be copied or pickled.*from_pretrained in every process",
    ),
    "AutoModel called": (
        lambda b: AutoModel(), OSError, r"AutoModel.from_pretrained\(path\)",
    ),
    "AutoTokenizer called": (
        lambda b: AutoTokenizer(), OSError, r"AutoTokenizer.from_pretrained\(path\)",
    ),
    "AutoProcessor called": (
        lambda b: internvl_native.AutoProcessor(), OSError, r"AutoProcessor.from_pretrained",
    ),
    "the model's class called": (
        lambda b: internvl_native.InternVLChatModel(b.model.config),  # type: ignore[call-arg]
        TypeError, "InternVLChatModel.*engine",
    ),
    "from_config": (
        lambda b: AutoModel.from_config(b.model.config), AttributeError,  # type: ignore[attr-defined]
        "from_config",
    ),
    "saved into a file": (
        lambda b: b.model.save_pretrained(CHECKPOINT / "config.json"), ValueError,
        "save_directory: expected a folder, got the file",
    ),
    "saved nowhere": (
        lambda b: b.model.save_pretrained(None), TypeError, "save_directory: .*NoneType",
    ),
    "saved as pickles": (
        lambda b: b.model.save_pretrained("x", safe_serialization=False), ValueError,
        "safe_serialization: expected True",
    ),
    "saved to the hub": (
        lambda b: b.model.save_pretrained("x", push_to_hub=True), ValueError, "push_to_hub",
    ),
    "saved in parts of no size": (
        lambda b: b.model.save_pretrained("x", max_shard_size="big"), ValueError,
        "max_shard_size: .*'big'",
    ),
    "an adapter that was not loaded": (
        lambda b: b.model.set_adapter("style"), ValueError,
        "adapter_name: expected one of none, got 'style'",
    ),
    "an adapter without a folder": (
        lambda b: b.model.load_adapter(None), TypeError, "expected the path .*NoneType",
    ),
    "a checkpoint as adapter": (
        lambda b: b.model.load_adapter(CHECKPOINT), internvl_native.CheckpointError,
        "adapter_config.json",
    ),
    "a model wrapped by peft": (
        lambda b: b.model.peft_config.update(default={}), TypeError,
        r"peft cannot wrap a native model: model\.load_adapter",
    ),
    "set_adapter of None": (
        lambda b: b.model.set_adapter(None), TypeError, "adapter_name: .*NoneType",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VIEWS)
def test_views(bench: Bench, case: str) -> None:
    bench.refuses(*VIEWS[case])


@pytest.mark.parametrize("case", PARAMETERS)
def test_parameters(bench: Bench, case: str) -> None:
    bench.refuses(*PARAMETERS[case])


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_attributes(bench: Bench, case: str) -> None:
    bench.refuses(*ATTRIBUTES[case])


@pytest.mark.parametrize("case", PLACEMENT)
def test_placement(bench: Bench, case: str) -> None:
    bench.refuses(*PLACEMENT[case])
