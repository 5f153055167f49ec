"""``from_pretrained``: what is given, and checkpoints that are damaged, incomplete or others."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from tests.misuse.bench import CHECKPOINT, IMAGES, OTHER, Bench, Table
from tests.support.goldens import DATA, EXTRA

from internvl_native import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    CheckpointError,
    CLIPImageProcessor,
    InternVisionModel,
    InternVLChatConfig,
    InternVLChatModel,
)

NO_SUCH = "expected the folder of a checkpoint, got no such folder"
DTYPES = "torch_dtype: expected 'auto' or a dtype of float32, bfloat16, float16, got"
HEADER = "model.safetensors: "


def load(*arguments: Any, **keywords: Any) -> Callable[[Bench], Any]:
    return lambda bench: AutoModel.from_pretrained(*(arguments or (CHECKPOINT,)), **keywords)


NAMES: Table = {
    "None": (load(None), TypeError, "pretrained_model_name_or_path: .*got NoneType"),
    "nothing": (
        lambda b: AutoModel.from_pretrained(), TypeError,  # type: ignore[call-arg]
        "pretrained_model_name_or_path",
    ),
    "a number": (load(5), TypeError, "pretrained_model_name_or_path: .*got int"),
    "bytes": (load(b"x"), TypeError, "pretrained_model_name_or_path: .*got bytes"),
    "a list": (load([CHECKPOINT]), TypeError, "pretrained_model_name_or_path: .*got list"),
    "the model": (
        lambda b: AutoModel.from_pretrained(b.model), TypeError,
        "pretrained_model_name_or_path: .*got InternVLChatModel",
    ),
    "an empty name": (load(""), CheckpointError, "'': " + NO_SUCH),
    "no such path": (load("/no/such/folder"), CheckpointError, "'/no/such/folder': " + NO_SUCH),
    "no such folder": (load(Path("nowhere")), CheckpointError, "'nowhere': " + NO_SUCH),
    "a path with NUL": (load("a\0b"), CheckpointError, "a.*b.*: " + NO_SUCH),
    "an unknown name": (
        load("OpenGVLab/NoSuchModel", local_files_only=True), CheckpointError,
        "OpenGVLab/NoSuchModel .*local_files_only=True. Download it with",
    ),
    "a URL": (load("https://huggingface.co/OpenGVLab/x"), CheckpointError, NO_SUCH),
    "a weights file": (
        load(CHECKPOINT / "model-00001-of-00003.safetensors"), CheckpointError,
        "expected the folder of a checkpoint, got a file",
    ),
    "a folder of images": (load(IMAGES), CheckpointError, "config.json: cannot read"),
    "a revision that is a path": (
        load("OpenGVLab/x", revision="../x"), CheckpointError, "revision: .*'../x'",
    ),
    "a subfolder that is not there": (
        load(subfolder="x"), CheckpointError, "ckpt_rmsnorm/x': " + NO_SUCH,
    ),
}  # fmt: skip

OPTIONS: Table = {
    "dtype unknown": (load(torch_dtype="half a byte"), ValueError, DTYPES + " 'half a byte'"),
    "dtype int8": (load(torch_dtype="int8"), ValueError, DTYPES + " 'int8'"),
    "dtype float64": (load(torch_dtype=np.float64), ValueError, DTYPES + ".*float64"),
    "dtype a number": (load(torch_dtype=16), ValueError, DTYPES + " 16"),
    "dtype in a list": (load(torch_dtype=["bfloat16"]), ValueError, DTYPES + ".*bfloat16"),
    "a typo": (
        load(torch_dtpye="bfloat16"), TypeError,
        "unexpected keyword argument 'torch_dtpye'.*did you mean 'torch_dtype'",
    ),
    "another's keyword": (
        load(n_gpu_layers=5), TypeError, "unexpected keyword argument 'n_gpu_layers'",
    ),
    "8 bits": (load(load_in_8bit=True), ValueError, "load_in_8bit: .*drop the argument"),
    "4 bits": (load(load_in_4bit=True), ValueError, "load_in_4bit: .*drop the argument"),
    "quantization": (
        load(quantization_config={"load_in_4bit": True}), ValueError, "quantization_config: ",
    ),
    "pickles": (load(use_safetensors=False), ValueError, "use_safetensors: .*safetensors"),
    "weights from a dict": (load(state_dict={}), ValueError, "state_dict: expected None, got dict"),
    "a config that is none": (load(config=5), ValueError, "config: expected a config .*got int"),
    "a config without a type": (load(config={}), ValueError, "config: expected a config"),
    "a config class": (
        load(config=InternVLChatConfig), ValueError, "config: .*got the class InternVLChatConfig",
    ),
    "a tokenizer as config": (
        lambda b: AutoModel.from_pretrained(CHECKPOINT, config=b.tokenizer), ValueError,
        "config: expected a config .*got InternLM2Tokenizer",
    ),
    "the config of another model": (
        load(config=AutoConfig.from_pretrained(OTHER)), CheckpointError, "expected shape|missing",
    ),
    "a wrong value for the config": (
        load(ps_version="v9"), ValueError, "ps_version: expected one of v1, v2, got 'v9'",
    ),
    "a layer that is not there": (load(select_layer=-99), ValueError, "select_layer: .*-99"),
    "a variant that is not there": (
        load(variant="fp16"), CheckpointError, "model.fp16.safetensors",
    ),
    "adapters a number": (load(adapters=5), TypeError, "adapters: .*got int"),
    "adapters in a list": (
        load(adapters=[EXTRA / "lora" / "linear_chat"]), TypeError, "adapters: .*got list",
    ),
    "an adapter that is not there": (
        load(adapters="/no/such/adapter"), CheckpointError, "/no/such/adapter",
    ),
    "an adapter of another model": (
        load(adapters=EXTRA / "lora" / "linear_chat"), CheckpointError, "linear_chat",
    ),
    "the vision tower to chat with": (
        lambda b: AutoModelForCausalLM.from_pretrained(CHECKPOINT, config={
            "model_type": "intern_vit_6b"}), ValueError,
        "AutoModelForCausalLM: expected a model_type of internvl_chat, got 'intern_vit_6b'",
    ),
    "a vision config for a chat model": (
        lambda b: InternVLChatModel.from_pretrained(
            CHECKPOINT, config=b.model.config.vision_config
        ), ValueError, "expected a checkpoint of model_type internvl_chat, got intern_vit_6b",
    ),
}  # fmt: skip

OTHERS: Table = {
    "tokenizer of None": (
        lambda b: AutoTokenizer.from_pretrained(None),  # type: ignore[arg-type]
        TypeError, "pretrained_model_name_or_path: .*got NoneType",
    ),
    "tokenizer of the model": (
        lambda b: AutoTokenizer.from_pretrained(b.model), TypeError,
        "pretrained_model_name_or_path: .*got InternVLChatModel",
    ),
    "tokenizer of a folder without one": (
        lambda b: AutoTokenizer.from_pretrained(IMAGES), CheckpointError,
        "tokenizer_config.json: cannot read the file: there is none",
    ),
    "tokenizer with a side that is none": (
        lambda b: AutoTokenizer.from_pretrained(CHECKPOINT, padding_side="up"), ValueError,
        "padding_side: expected 'left' or 'right', got 'up'",
    ),
    "tokenizer with a token that is none": (
        lambda b: AutoTokenizer.from_pretrained(CHECKPOINT, pad_token=5), ValueError,
        "pad_token: expected str, AddedToken or None, got int",
    ),
    "config of None": (
        lambda b: AutoConfig.from_pretrained(None),  # type: ignore[arg-type]
        TypeError, "pretrained_model_name_or_path: .*got NoneType",
    ),
    "config of a picture": (
        lambda b: AutoConfig.from_pretrained(IMAGES / "land.jpg"), CheckpointError,
        "land.jpg: cannot read the file",
    ),
    "config of another kind": (
        lambda b: AutoConfig.from_pretrained(CHECKPOINT / "tokenizer_config.json"), ValueError,
        "model_type: expected one of internvl_chat, intern_vit_6b, got None",
    ),
    "config with another type": (
        lambda b: InternVLChatConfig(model_type="llava"), ValueError,
        "InternVLChatConfig: expected model_type 'internvl_chat', got 'llava'",
    ),
    "config without a language model": (
        lambda b: InternVLChatConfig(), ValueError, "llm_config: expected an object",
    ),
    "config with a number as part": (
        lambda b: InternVLChatConfig(vision_config=5), ValueError,  # type: ignore[arg-type]
        "vision_config: expected an object, got 5",
    ),
    "config of an unknown language model": (
        lambda b: InternVLChatConfig(llm_config={"architectures": ["Phi3ForCausalLM"]}),
        ValueError, r"llm_config.architectures: expected one of .*\['Phi3ForCausalLM'\]",
    ),
    "config with a method's name": (
        lambda b: InternVLChatConfig(llm_config=b.model.config.llm_config, to_dict=1), ValueError,
        "'to_dict' is not the name of a value",
    ),
    "config's attribute with a typo": (
        lambda b: b.model.config.vison_config, AttributeError, "vison_config",
    ),
    "config given to a dict's caller": (
        lambda b: b.model.config["template"], TypeError, "not subscriptable",
    ),
    "image processor of a chat checkpoint": (
        lambda b: CLIPImageProcessor.from_pretrained(CHECKPOINT), CheckpointError,
        "preprocessor_config.json",
    ),
    "processor of nothing": (
        lambda b: AutoProcessor.from_pretrained(IMAGES), CheckpointError,
        "preprocessor_config.json",
    ),
    "vision model of text": (
        lambda b: InternVisionModel.from_pretrained("nowhere/at all"), CheckpointError, NO_SUCH,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names(bench: Bench, case: str) -> None:
    bench.refuses(*NAMES[case])


@pytest.mark.parametrize("case", OPTIONS)
def test_options(bench: Bench, case: str) -> None:
    bench.refuses(*OPTIONS[case])


@pytest.mark.parametrize("case", OTHERS)
def test_other_classes(bench: Bench, case: str) -> None:
    bench.refuses(*OTHERS[case])


# ---- files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a checkpoint of one weights file."""
    copied = tmp_path / "checkpoint"
    shutil.copytree(DATA / "ckpt_layernorm", copied)
    return copied


def missing(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def written(name: str, content: bytes) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).write_bytes(content)

    return change


def config(**values: Any) -> Callable[[Path], Any]:
    """Values in place of config.json's; those of vision_config and llm_config by a dict."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        known = json.loads(path.read_text())
        for name, value in values.items():
            nested = isinstance(value, dict) and isinstance(known.get(name), dict)
            known[name] = {**known[name], **value} if nested else value
        path.unlink()
        path.write_text(json.dumps(known))

    return change


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Another header in model.safetensors, the tensors' bytes as before."""

    def rewrite(folder: Path) -> None:
        path = folder / "model.safetensors"
        raw = path.read_bytes()
        (size,) = struct.unpack_from("<Q", raw)
        entries = json.loads(raw[8 : 8 + size])
        change(entries)
        text = json.dumps(entries).encode()
        path.unlink()
        path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size :])

    return rewrite


def truncated(name: str, size: int) -> Callable[[Path], Any]:
    return lambda folder: written(name, (folder / name).read_bytes()[:size])(folder)


def entry(**values: Any) -> Callable[[Path], Any]:
    """Values of the first weight's entry in the header."""
    return header(lambda entries: entries["mlp1.1.weight"].update(values))


Damage = tuple[Callable[[Path], Any], type[Exception], str]
FILES: dict[str, Damage] = {
    "no config": (missing("config.json"), CheckpointError, "config.json: cannot read.*none"),
    "an empty config": (written("config.json", b""), CheckpointError, "config.json: .*JSON"),
    "half a config": (truncated("config.json", 100), CheckpointError, "config.json: .*valid JSON"),
    "a config in UTF-16": (
        written("config.json", "{}".encode("utf-16")), CheckpointError, "config.json: cannot read",
    ),
    "a list as config": (written("config.json", b"[]"), CheckpointError, "JSON object, got list"),
    "another model's config": (
        config(model_type="llava"), ValueError, "model_type: expected one of .*got 'llava'",
    ),
    "a number as vision config": (
        config(vision_config=5), ValueError, "vision_config: expected an object, got 5",
    ),
    "text as number of layers": (
        config(llm_config={"num_hidden_layers": "two"}), ValueError, "num_hidden_layers: .*'two'",
    ),
    "a negative width": (
        config(llm_config={"hidden_size": -128}), ValueError, "hidden_size: .*-128",
    ),
    "an absurd width": (
        config(llm_config={"hidden_size": 2**40}), ValueError,
        r"hidden_size: expected an integer in \[1, 2147483647\]",
    ),
    "fractional heads": (
        config(llm_config={"num_attention_heads": 2.5}), ValueError, "num_attention_heads: .*2.5",
    ),
    "heads that do not divide the width": (
        config(llm_config={"num_attention_heads": 7}), ValueError, "num_attention_heads",
    ),
    "no patches": (config(vision_config={"patch_size": 0}), ValueError, "patch_size: .*0"),
    "an unknown norm": (
        config(vision_config={"norm_type": "batch_norm"}), ValueError, "norm_type: .*'batch_norm'",
    ),
    "an unknown activation": (
        config(llm_config={"hidden_act": "mish"}), ValueError, "hidden_act: .*'mish'",
    ),
    "an unknown template": (config(template="vicuna"), ValueError, "template: .*'vicuna'"),
    "no template": (config(template=None), ValueError, "template: expected one of"),
    "an odd scale": (config(downsample_ratio=0.3), ValueError, "downsample_ratio: .*0.3"),
    "a scale of 0": (config(downsample_ratio=0), ValueError, "downsample_ratio: .*0"),
    "an unknown rope": (
        config(llm_config={"rope_scaling": {"type": "yarn", "factor": 2.0}}), ValueError,
        "rope_scaling.*yarn",
    ),
    "more layers than stored": (
        config(llm_config={"num_hidden_layers": 9}), CheckpointError, "layers.*missing|expected",
    ),
    "an image size as text": (
        config(force_image_size="448"), ValueError, "force_image_size: .*'448'",
    ),
    "a system message of a number": (
        config(system_message=5), ValueError,
        "system_message: expected a string, got 5",
    ),
    "no weights": (
        missing("model.safetensors"), CheckpointError,
        "expected model.safetensors or model.safetensors.index.json, got neither",
    ),
    "empty weights": (written("model.safetensors", b""), CheckpointError, HEADER),
    "half the weights": (truncated("model.safetensors", 20000), CheckpointError, HEADER),
    "a pointer of Git LFS": (
        written("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        CheckpointError, HEADER + ".*git lfs pull|Git LFS",
    ),
    "a picture as weights": (
        written("model.safetensors", (IMAGES / "land.jpg").read_bytes()), CheckpointError, HEADER,
    ),
    "a header beyond the file": (
        written("model.safetensors", struct.pack("<Q", 2**60) + b"{}"), CheckpointError, HEADER,
    ),
    "a weight without values": (
        header(lambda entries: entries.pop("mlp1.1.weight")), CheckpointError,
        "tensor .mlp1.3.bias.: expected data at offset",
    ),
    "a weight under another name": (
        header(lambda entries: entries.update(x=entries.pop("mlp1.1.weight"))), CheckpointError,
        "mlp1.1.weight",
    ),
    "a weight of another shape": (
        entry(shape=[1, 1]), CheckpointError, "mlp1.1.weight",
    ),
    "a weight turned": (
        header(lambda entries: entries["mlp1.1.weight"]["shape"].reverse()), CheckpointError,
        r"mlp1.1.weight': expected shape .*got",
    ),
    "a weight of integers": (
        entry(dtype="I32"), CheckpointError, "mlp1.1.weight.*I32",
    ),
    "a weight of an unknown dtype": (entry(dtype="X9"), CheckpointError, "mlp1.1.weight.*X9"),
    "a weight of no dtype": (entry(dtype=None), CheckpointError, "mlp1.1.weight.*None"),
    "a weight beyond the file": (
        entry(data_offsets=[0, 2**50]), CheckpointError, "mlp1.1.weight",
    ),
    "a weight that ends before it begins": (
        entry(data_offsets=[8, 0]), CheckpointError, "mlp1.1.weight",
    ),
    "an index for weights": (
        lambda folder: (folder / "model.safetensors").rename(
            folder / "model.safetensors.index.json"
        ), CheckpointError, "index.json: ",
    ),
    "defaults of generation that are damaged": (
        written("generation_config.json", b"{"), CheckpointError,
        "generation_config.json.*valid JSON",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files(folder: Path, case: str) -> None:
    change, error, message = FILES[case]
    change(folder)
    with pytest.raises(error, match=message) as raised:
        AutoModel.from_pretrained(folder)
    assert raised.type is error
