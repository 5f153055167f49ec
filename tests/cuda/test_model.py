"""A model on the CUDA backend's own code computes what the CPU computes: with emulated kernels in
every run, and on the GPU of this machine with ``pytest -m cuda``."""

from __future__ import annotations

import ctypes
import gc
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tests.backend.numerics import (
    ROUNDING,
    Array,
    assert_close,
    random,
    reference_norm,
    rounded,
)
from tests.support import gpu_tensors
from tests.support.extension import build_module
from tests.support.extras import optional
from tests.support.goldens import DATA

import internvl_native
from internvl_native import _core, devices

from . import cudnn
from .test_rows import shuffled

# Of the largest value: both sum in float32, in different orders, and round where they store.
TOLERANCE = {"float32": 2e-5, "bfloat16": 4e-2, "float16": 5e-3}
MIB = 1 << 20

ON_GPU = pytest.param("GPU", marks=pytest.mark.cuda)
on_gpu = pytest.mark.parametrize("cuda", [ON_GPU], indirect=True)
emulated = pytest.mark.parametrize("cuda", ["emulated"], indirect=True)


@pytest.fixture(scope="session", params=["emulated", ON_GPU])
def cuda(request: pytest.FixtureRequest) -> Any:
    """The module `_cuda`."""
    if request.param == "emulated":
        return build_module("_cuda", Path(__file__).parent / "emulated")
    devices.missing.cache_clear()
    lacking = devices.missing()
    if lacking is not None:
        pytest.skip(lacking)
    import internvl_native._cuda as module

    return module


@pytest.fixture(params=["ckpt_rmsnorm", "ckpt_layernorm"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    return DATA / str(request.param)


@pytest.fixture
def load(cuda: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads the model on a device."""
    folders = [str(Path(cuda.__file__).parent), *devices.library_folders()]  # the stand-in first
    monkeypatch.setitem(sys.modules, "internvl_native._cuda", cuda)
    monkeypatch.setattr(internvl_native, "_cuda", cuda, raising=False)
    monkeypatch.setattr(devices, "library_folders", lambda: folders)
    if cuda.__name__ == "_cuda":  # emulated: measuring would take most of the time
        monkeypatch.setenv("INTERNVL_NATIVE_CUDA_ATTENTION", "native")
    devices.missing.cache_clear()

    def model_on(device: str, dtype: str = "float32") -> Any:
        model = internvl_native.AutoModel.from_pretrained(
            checkpoint, torch_dtype=dtype, device_map=device
        )
        assert str(model.device) == device
        return model

    yield model_on
    devices.missing.cache_clear()


@pytest.fixture
def tokenizer(checkpoint: Path) -> Any:
    return internvl_native.AutoTokenizer.from_pretrained(checkpoint)


def tiles_of(model: Any, count: int, seed: int = 0) -> Any:
    size = model.config.force_image_size
    return random(count * 3 * size, size, seed=seed).reshape(count, 3, size, size)


def answer(model: Any, tokenizer: Any, tiles: int = 1, seed: int = 0, **settings: Any) -> Any:
    settings = {"max_new_tokens": 4, "do_sample": False, **settings}
    return model.chat(tokenizer, tiles_of(model, tiles, seed), "<image>\nDescribe it.", settings)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_features(load: Any, dtype: str) -> None:
    expected, actual = (
        model.extract_feature(tiles_of(model, 1))
        for model in (load("cpu", dtype), load("cuda:0", dtype))
    )
    assert np.abs(actual - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_chat(load: Any, tokenizer: Any) -> None:
    assert answer(load("cuda:0"), tokenizer) == answer(load("cpu"), tokenizer)


@pytest.fixture
def operations(cuda: Any) -> Any:
    """Those of the backend, as tests/backend has them of the CPU's."""
    folders = [str(Path(cuda.__file__).parent), *devices.library_folders()]
    return _core.kernels.Backend(cuda.backend(0, folders), padding=4)


def norm_of(operations: Any, cols: int, seed: int) -> tuple[Any, Callable[[Array], Any]]:
    """A layer norm, and its float64 reference."""
    w, b = random(cols, seed=seed), random(cols, seed=seed + 1)
    norm = operations.prepare_norm("layer", 1e-6, w, b)
    return norm, lambda x: reference_norm(x, "layer", 1e-6, w, b)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("rows", [3, 70])  # kernels of ours, and cuBLASLt
def test_residual_and_norm(operations: Any, rows: int, scaled: bool) -> None:
    x, residual = random(rows, 40), random(rows, 65, seed=1)
    w, b, scale = random(65, 40, seed=2), random(65, seed=3), random(65, seed=4)
    norm, reference = norm_of(operations, 65, seed=5)
    weight = operations.prepare_linear([w], [b])
    added, normed = operations.linear_add_norm(residual, x, weight, scale if scaled else None, norm)
    branch = x.astype(np.float64) @ w.T.astype(np.float64) + b
    np.testing.assert_allclose(added, residual + (scale if scaled else 1.0) * branch, atol=2e-5)
    assert_close(normed, *reference(added))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_rows_of_a_step_have_the_bits_of_one_alone(operations: Any, dtype: str) -> None:
    x, residual, scale = random(64, 72), random(64, 9, seed=1), random(9, seed=2)
    weights = [random(9, 72, seed=seed) for seed in (3, 4)]
    weight = operations.prepare_linear(weights[:1], [random(9, seed=5)], dtype=dtype)
    gated = operations.prepare_gated(weights[:1], weights[1:], dtype=dtype)

    def results(rows: slice) -> list[Array]:
        return [
            operations.linear(x[rows], weight, "gelu"),
            operations.linear_gated(x[rows], gated, "silu"),
            operations.linear_add(residual[rows], x[rows], weight),
            operations.linear_add(residual[rows], x[rows], weight, scale),
        ]

    alone = [np.concatenate(of) for of in zip(*(results(slice(i, i + 1)) for i in range(64)))]
    for count in (8, 9, 24, 64):
        for actual, expected in zip(results(slice(0, count)), alone):
            np.testing.assert_array_equal(actual, expected[:count])


def test_norms_of_queries_and_keys(operations: Any) -> None:
    q, k = random(5, 70), random(5, 70, seed=1)
    (q_norm, q_reference), (k_norm, k_reference) = (
        norm_of(operations, 70, seed) for seed in (2, 4)
    )
    normed_q, normed_k = operations.qk_norm(q, k, q_norm, k_norm)
    assert_close(normed_q, *q_reference(q))
    assert_close(normed_k, *k_reference(k))


@pytest.mark.parametrize("transposed", [False, True])
def test_norm_of_shuffled_pixels(operations: Any, transposed: bool) -> None:
    x = random(2 * 17, 6)
    norm, reference = norm_of(operations, 24, seed=1)
    actual = operations.pixel_shuffle_norm(x, 4, 2, transposed, norm)
    assert_close(actual, *reference(shuffled(x, 2, 4, 2, transposed)))


def attention_of(cuda: Any, dtype: str, shape: tuple[int, int, int, int], **settings: Any) -> None:
    """Runs full attention on a backend of these settings, and checks what comes out."""
    sequences, tokens, heads, head_dim = shape
    folders = [str(Path(cuda.__file__).parent), *devices.library_folders()]
    backend = cuda.backend(0, **{"folders": folders, **settings})
    qkv = rounded(random(sequences * tokens, 3 * heads * head_dim), dtype)
    scale = float(np.float32(head_dim**-0.5))
    on = _core.kernels.Backend(backend, padding=8)
    actual = on.attention(qkv, tokens, heads, scale, dtype)
    q, k, v = (
        part.reshape(shape).astype(np.float64).transpose(0, 2, 1, 3)
        for part in np.split(qkv, 3, axis=1)
    )
    weights = np.exp(scale * q @ k.transpose(0, 1, 3, 2))
    expected = weights @ v / weights.sum(axis=-1, keepdims=True)
    actual = actual.reshape(shape).transpose(0, 2, 1, 3)
    assert np.abs(actual - expected).max() <= 2 * ROUNDING[dtype] * np.abs(v).max()


@pytest.fixture(params=["native", "cudnn", "auto"])
def attention(cuda: Any, request: pytest.FixtureRequest) -> str:
    """Implementations that there are; on this machine's GPU, cuDNN's may be missing."""
    if cuda.__name__ != "_cuda":
        try:
            cuda.backend(0, devices.library_folders(), attention=request.param)
        except _core.DeviceError as error:
            pytest.skip(str(error))
    return str(request.param)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(1, 17, 2, 64), (2, 65, 1, 128)])
def test_full_attention(
    cuda: Any, attention: str, dtype: str, shape: tuple[int, int, int, int]
) -> None:
    attention_of(cuda, dtype, shape, attention=attention)


@on_gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(3, 1025, 16, 64), (2, 1025, 25, 128)])
def test_full_attention_of_vision_transformers(
    cuda: Any, attention: str, dtype: str, shape: tuple[int, int, int, int]
) -> None:
    attention_of(cuda, dtype, shape, attention=attention)


@pytest.fixture
def cudnn_library(cuda: Any) -> Any:
    """The stand-in of cuDNN; as fast as a kernel of ours afterwards."""
    library = cudnn.stand_in(cuda)
    yield library
    library.standin_set_cudnn_milliseconds(1.0)


@emulated
@pytest.mark.parametrize(
    ("milliseconds", "tokens", "executions", "chosen"),
    [
        (0.5, 5, 14, r"cuDNN \(cuDNN 0.5 ms, native 1 ms\)"),
        (2.0, 6, 13, r"native \(cuDNN 2 ms, native 1 ms\)"),
    ],
)
def test_the_faster_attention_is_kept(
    cuda: Any, cudnn_library: Any, milliseconds: float, tokens: int, executions: int, chosen: str
) -> None:
    before = cudnn_library.standin_cudnn_executions()
    lines: list[str] = []
    cudnn_library.standin_set_cudnn_milliseconds(milliseconds)
    attention_of(cuda, "float16", (1, tokens, 2, 8), log=lines.append)
    assert cudnn_library.standin_cudnn_executions() - before == executions  # to measure, and to use
    assert re.fullmatch(
        rf"attention over {tokens} tokens, 2 heads of 8, float16, on cuda:0: {chosen}", lines.pop()
    )
    # By other models, in other numbers, and whatever they would measure.
    cudnn_library.standin_set_cudnn_milliseconds(1 / milliseconds)
    for sequences in (2, 3):
        attention_of(cuda, "float16", (sequences, tokens, 2, 8), log=lines.append)
    assert lines == []
    used = cudnn_library.standin_cudnn_executions() - before - executions
    assert used == (2 if chosen.startswith("cuDNN") else 0)


@emulated
def test_what_is_left_to_the_own_attention(cuda: Any, cudnn_library: Any) -> None:
    cudnn_library.standin_set_cudnn_milliseconds(0.5)
    set_capability = ctypes.CDLL(cuda.__file__).standin_set_capability
    before = cudnn_library.standin_cudnn_executions()
    lines: list[str] = []
    attention_of(cuda, "float32", (1, 7, 2, 8), log=lines.append)
    attention_of(cuda, "float16", (1, 7, 2, 12), log=lines.append)  # at 8 bytes
    assert lines == []
    attention_of(cuda, "float16", (1, 7, 2, 136), log=lines.append)
    assert lines.pop().endswith("native (cuDNN has no kernel for this attention: 2 proposals)")
    try:
        set_capability(8)
        attention_of(cuda, "float16", (1, 8, 2, 8), log=lines.append)
        with pytest.raises(_core.DeviceError, match="cuda:0 is older than NVIDIA's Hopper"):
            cuda.backend(0, [str(Path(cuda.__file__).parent)], attention="cudnn")
    finally:
        set_capability(9)
    assert (lines, cudnn_library.standin_cudnn_executions()) == ([], before)


@emulated
def test_attention_without_cudnn(cuda: Any, tmp_path: Path) -> None:
    (tmp_path / "libcudnn_graph.so.9").write_bytes(b"no library")
    (tmp_path / "libcublasLt.so.13").symlink_to(Path(cuda.__file__).parent / "libcublasLt.so.13")
    lines: list[str] = []
    for sequences in (1, 2):
        attention_of(
            cuda, "bfloat16", (sequences, 9, 2, 8), folders=[str(tmp_path)], log=lines.append
        )
    (line,) = lines
    missing = r"libcudnn_graph.so.9: .*pip install 'internvl-native\[cuda\]', .*nvidia-cudnn-cu13"
    assert re.search(rf": native \({missing}\)$", line)
    with pytest.raises(_core.DeviceError, match=missing):
        cuda.backend(0, [str(tmp_path)], attention="cudnn")


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_a_model_with_cudnn(
    load: Any, cudnn_library: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    variable = "INTERNVL_NATIVE_CUDA_ATTENTION"
    expected = load("cpu", "bfloat16").extract_feature(tiles_of(load("cpu"), 2))
    caplog.set_level(logging.INFO, "internvl_native.devices")
    executions = []
    for attention in ("cudnn", ""):
        monkeypatch.setenv(variable, attention)
        before = cudnn_library.standin_cudnn_executions()
        actual = load("cuda:0", "bfloat16").extract_feature(tiles_of(load("cpu"), 2))
        executions.append(cudnn_library.standin_cudnn_executions() - before)
        assert np.abs(actual - expected).max() <= TOLERANCE["bfloat16"] * np.abs(expected).max()
    assert executions == [3, 13]  # once a layer; and to measure it
    assert caplog.text.count("attention over 65 tokens, 4 heads of 32, bfloat16, on cuda:0") == 1
    monkeypatch.setenv(variable, "flash")
    with pytest.raises(ValueError, match=rf"{variable}\): expected auto, native or cudnn, got 'f"):
        load("cuda:0")


def counter(cuda: Any, name: str) -> Callable[[], int]:
    """A function of the stand-ins that counts something."""
    function = getattr(ctypes.CDLL(cuda.__file__), name)
    function.restype = ctypes.c_size_t
    return function  # type: ignore[no-any-return]


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_kernels_of_a_vision_layer(cuda: Any, load: Any) -> None:
    queued = counter(cuda, "standin_queued_kernels")
    model = load("cuda:0")
    counts = []
    for layers in (1, 2, 3):
        before = queued()
        model.vision_model._core.vision_forward(tiles_of(model, 1), "float32", layers, [])
        counts.append(queued() - before)
    # Norm of q and k, attention, residual and norm, activation, residual and norm.
    assert np.diff(counts).tolist() == [5, 5]


@emulated
def test_decoding_launches_graphs(cuda: Any, load: Any, tokenizer: Any) -> None:
    launched = counter(cuda, "standin_launched_graphs")
    ids = tokenizer("A few words", return_tensors="np").input_ids
    outputs = []
    for device in ("cpu", "cuda:0"):
        before = launched()
        model = load(device).language_model
        outputs.append(model.generate(ids, max_new_tokens=6, min_new_tokens=6, do_sample=False))
    np.testing.assert_array_equal(outputs[1], outputs[0])
    # Of five steps after the prompt, the first only runs.
    assert launched() - before == 4


HALF_OF_THE_VOCABULARY = list(range(0, 2202, 2))
RULES: dict[str, dict[str, Any]] = {  # what the backend chooses tokens by itself
    "greedy": {},
    "penalties": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "impossible tokens": {
        "min_length": 9,
        "min_new_tokens": 5,
        "suppress_tokens": HALF_OF_THE_VOCABULARY,
        "begin_suppress_tokens": [5, 5, 4],
    },
    "sampling": {
        "do_sample": True,
        "seed": 3,
        "temperature": 0.7,
        "top_k": 90,
        "top_p": 0.9,
        "repetition_penalty": 0.9,
        "num_return_sequences": 2,
    },
    "log-probabilities": {
        "do_sample": True,
        "seed": 4,
        "repetition_penalty": 1.2,
        "output_logprobs": True,
    },
}
LEFT_TO_THE_HOST: dict[str, dict[str, Any]] = {
    "typical tokens": {"do_sample": True, "seed": 3, "typical_p": 0.5},
    "scores": {"output_scores": True},
    "words": {"bad_words_ids": [[7, 8]]},
    "processors": {"logits_processor": [lambda ids, scores: scores]},
}


def generated(model: Any, tokenizer: Any, tokens: int, settings: dict[str, Any]) -> Any:
    ids = tokenizer("A few words", return_tensors="np").input_ids
    return model.language_model.generate(
        ids, max_new_tokens=tokens, eos_token_id=1, return_dict_in_generate=True, **settings
    )


def assert_same_tokens(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(actual.sequences, expected.sequences)
    for one, other in zip(actual.logprobs or (), expected.logprobs or ()):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("name", [*RULES, *LEFT_TO_THE_HOST])
def test_tokens(load: Any, tokenizer: Any, name: str) -> None:
    settings = {**RULES, **LEFT_TO_THE_HOST}[name]
    on_cpu, on_gpu = (
        generated(load(device), tokenizer, 6, settings) for device in ("cpu", "cuda:0")
    )
    assert_same_tokens(on_gpu, on_cpu)
    assert (on_gpu.logprobs is not None) == settings.get("output_logprobs", False)


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("name", [*RULES, "scores"])
def test_what_a_step_reads(cuda: Any, load: Any, tokenizer: Any, name: str) -> None:
    settings = {**RULES, **LEFT_TO_THE_HOST}[name]
    model = load("cuda:0")
    read = counter(cuda, "standin_bytes_to_host")
    waited = counter(cuda, "standin_synchronizations")
    before = read(), waited()
    length = generated(model, tokenizer, 4, settings).sequences.shape[1]
    assert length == 4 + len(tokenizer("A few words").input_ids)  # no sequence ended early
    rows = settings.get("num_return_sequences", 1)
    values = 2202 if name in LEFT_TO_THE_HOST else 1 + settings.get("output_logprobs", False)
    assert read() - before[0] == 4 * 4 * rows * values
    assert waited() - before[1] == 4 + 1  # for each token, and for the recording at its end


ENDS = [145, 231, 271, 432, 499, 605, 765, 1265, 1398, 1815, 1859]  # of what the model says
BEAMS: dict[str, dict[str, Any]] = {  # what the backend chooses the candidates of
    "all": {"num_beams": 3, "length_penalty": 2.0, "num_return_sequences": 3},
    "ends": {"num_beams": 4, "eos_token_id": ENDS, "num_return_sequences": 2},
    "early ends": {"num_beams": 3, "eos_token_id": ENDS, "early_stopping": True},
    "late ends": {"num_beams": 2, "eos_token_id": ENDS, "early_stopping": "never"},
    "penalties": {"num_beams": 5, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "impossible tokens": {
        "num_beams": 2,
        "eos_token_id": ENDS,
        "length_penalty": -1.0,
        "min_new_tokens": 3,
        "suppress_tokens": HALF_OF_THE_VOCABULARY,
    },
    "few tokens": {"num_beams": 2, "suppress_tokens": list(range(3, 2202))},
}
BEAMS_LEFT_TO_THE_HOST: dict[str, dict[str, Any]] = {
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    "drawn": {"num_beams": 2, "do_sample": True, "seed": 2},
    "scores": {"num_beams": 2, "output_scores": True},
    "most ends": {"num_beams": 2, "eos_token_id": list(range(5, 1000))},
}


def beams(model: Any, prompts: int, tokens: int, settings: dict[str, Any]) -> Any:
    return model.language_model.generate(
        np.random.default_rng(0).integers(3, 2000, (prompts, 3)),
        **{"max_new_tokens": tokens, "eos_token_id": 1, **settings},
        output_logprobs=True,
        return_dict_in_generate=True,
    )


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize(("name", "prompts"), list(zip(BEAMS, [1, 1, 2, 3, 1, 1, 1])))
def test_beams(load: Any, name: str, prompts: int) -> None:
    """The beams that the host chooses from the logits of the CPU."""
    on_cpu, on_gpu = (beams(load(device), prompts, 4, BEAMS[name]) for device in ("cpu", "cuda:0"))
    assert_same_tokens(on_gpu, on_cpu)
    np.testing.assert_allclose(on_gpu.sequences_scores, on_cpu.sequences_scores, rtol=1e-5)


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("name", ["penalties", "few tokens", *BEAMS_LEFT_TO_THE_HOST])
def test_what_a_step_of_beams_reads(cuda: Any, load: Any, name: str) -> None:
    settings = {**BEAMS, **BEAMS_LEFT_TO_THE_HOST}[name]
    model = load("cuda:0")
    read = counter(cuda, "standin_bytes_to_host")
    before = read()
    beams(model, 1, 2, settings)
    logits = settings["num_beams"] * 2202
    candidates = 3 * (2 * settings["num_beams"] + 1)  # index, score and log-probability
    if name in BEAMS_LEFT_TO_THE_HOST:
        values = 2 * logits
    elif name == "few tokens":  # impossible ones are equal: the host says which come first
        values = 2 * candidates + logits
    else:
        values = 2 * candidates
    assert read() - before == 4 * values


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize(("dtype", "num_beams"), [("float32", 1), ("bfloat16", 2)])
def test_replayed_steps_have_the_bits_of_eager_ones(load: Any, dtype: str, num_beams: int) -> None:
    """Past a page, where steps are recorded anew. What shows hidden states is not recorded."""
    settings = {
        "num_beams": num_beams,
        "max_new_tokens": 6,
        "min_new_tokens": 6,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    ids = np.random.default_rng(0).integers(3, 2000, (1, 124))
    model = load("cuda:0", dtype).language_model
    replayed = model.generate(ids, **settings)
    eager = model.generate(ids, **settings, output_hidden_states=True)
    np.testing.assert_array_equal(replayed.sequences, eager.sequences)
    np.testing.assert_array_equal(np.stack(replayed.logits), np.stack(eager.logits))


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_only_possible_token_becomes_impossible(load: Any, tokenizer: Any, device: str) -> None:
    others = [token for token in range(2202) if token != 2000]
    settings = {"do_sample": True, "suppress_tokens": others, "no_repeat_ngram_size": 1}
    with pytest.raises(RuntimeError, match="probabilities of the next token are not finite"):
        generated(load(device), tokenizer, 2, settings)


def test_decoding_past_a_page(load: Any, tokenizer: Any) -> None:
    ids = tokenizer("a " * 123, return_tensors="np").input_ids
    assert ids.shape[1] < 128 < ids.shape[1] + 6
    outputs = [
        load(device).language_model.generate(ids, max_new_tokens=6, min_new_tokens=6)
        for device in ("cpu", "cuda:0")
    ]
    np.testing.assert_array_equal(outputs[1], outputs[0])


def test_a_missing_library_says_how_to_get_it(cuda: Any, tmp_path: Path) -> None:
    (tmp_path / "libcublasLt.so.13").write_bytes(b"no library")
    with pytest.raises(
        _core.DeviceError, match=r"libcublasLt.so.13: .*pip install 'internvl-native\[cuda\]'"
    ):
        cuda.open_libraries([str(tmp_path)])


def test_beams_share_pages(load: Any, tokenizer: Any) -> None:
    outputs = [
        model.language_model.generate(
            tokenizer("A few words", return_tensors="np").input_ids, num_beams=2, max_new_tokens=3
        )
        for model in (load("cpu"), load("cuda:0"))
    ]
    np.testing.assert_array_equal(outputs[1], outputs[0])


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_a_model_survives_when_memory_runs_out(
    cuda: Any, load: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(device: str) -> _core.Backend:
        if device == "cpu":
            return _core.cpu_backend()
        return cuda.backend(0, devices.library_folders(), budget=64 * MIB)  # type: ignore[no-any-return]

    monkeypatch.setattr(devices, "backend", backend)
    expected = answer(load("cpu"), tokenizer)
    model = load("cuda:0")
    assert answer(model, tokenizer) == expected
    with pytest.raises(RuntimeError, match=r"CUDA out of memory on cuda:0 \(the budget is spent\)"):
        answer(model, tokenizer, tiles=200)
    assert answer(model, tokenizer) == expected


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_operations_that_benchmarks_time(cuda: Any, load: Any, dtype: str) -> None:
    on: Any = _core.kernels.Backend(devices.backend("cuda:0"))
    for operation in (
        on.copy_of(1 << 10),
        on.linear_of(70, 16, 32, dtype, activation="gelu"),
        on.linear_of(1, 16, 32, dtype, "gated", "silu", copies=2),
        on.linear_of(8, 16, 32, dtype, "add"),
        on.norm_of(3, 64, "layer", dtype),
        on.patchify_of(1, 28, 14, dtype),
        on.pixel_shuffle_of(1, 4, 8),
        on.argmax_of(2, 100),
        on.attention_of(1, 17, 2, 64, dtype),
        on.cached_of("rope", 5, 2, 2, 1, 64, 2, dtype),
        on.cached_of("attention", 20, 0, 2, 1, 64, 1, dtype),
        on.cached_of("attention", 1, 130, 2, 1, 64, 1, dtype),
    ):
        assert len(operation.seconds(2, 3)) == 3
        assert min(operation.seconds(1, 2)) > 0


@pytest.fixture
def torch_stand_in(cuda: Any) -> Any:
    """A module `torch` whose tensors lie in the emulated GPU's memory."""
    library = ctypes.CDLL(cuda.__file__)
    library.standin_allocate.restype = ctypes.c_void_p
    library.standin_allocate.argtypes = [ctypes.c_size_t]
    library.standin_free.argtypes = [ctypes.c_void_p]
    torch = gpu_tensors.stand_in(library.standin_allocate)
    yield torch
    for tensor in torch.made:
        library.standin_free(tensor.values.ctypes.data)


@emulated
def test_tensors_are_used_where_they_lie(
    cuda: Any, load: Any, torch_stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("cuda:0")
    values = tiles_of(model, 1)[..., :28, :28].astype(np.float16)
    expected = load("cpu").extract_feature(values)
    pixels = torch_stand_in.empty(values.shape, dtype=np.float16, device="cuda:0")
    pixels.values[...] = values
    monkeypatch.setitem(sys.modules, "torch", torch_stand_in)
    features = model.extract_feature(pixels)
    assert (features.dtype, features.device) == ("torch.float32", "cuda:0")
    error = np.abs(features.values - expected).max()
    assert error <= TOLERANCE["float32"] * np.abs(expected).max()
    assert len(torch_stand_in.made) == 2  # the pixels and the features
    stream = cuda.stream(model._engine._backend)
    for tensor in torch_stand_in.made:
        assert (tensor.streams, tensor.returned) == ([stream], 1)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    waits: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(_core.InternVL, "extract_feature_into", interrupted)
        patch.setattr(devices, "synchronize", waits.append)
        with pytest.raises(KeyboardInterrupt):
            model.extract_feature(pixels)
    assert len(waits) == 1  # before the tensor of the features goes

    pixels.values[0, 2, 1, 0] = np.inf
    with pytest.raises(ValueError, match="expected finite numbers, got NaN or infinity in tile 0"):
        model.extract_feature(pixels)
    wrong = torch_stand_in.empty(values.shape[1:], dtype=np.float16, device="cuda:0")
    with pytest.raises(ValueError, match="pixel_values: expected 4 dimensions"):
        model.extract_feature(wrong)


@emulated
def test_a_stream_is_a_gpus(cuda: Any) -> None:
    for call in (cuda.stream, cuda.synchronize):
        with pytest.raises(ValueError, match="backend: expected one on a GPU, got cpu"):
            call(_core.cpu_backend())


@on_gpu
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_torch_tensors(load: Any, tokenizer: Any, dtype: str) -> None:
    """On a stream of torch's own that has not written the pixels yet when it hands them over."""
    torch = optional("torch", "test-extras")
    if not torch.cuda.is_available():
        pytest.skip("this torch finds no GPU")
    model = load("cuda:0", dtype)
    pixels = torch.from_numpy(tiles_of(model, 2)).to(getattr(torch, dtype))
    expected = model.extract_feature(pixels)
    with torch.cuda.stream(torch.cuda.Stream()):
        late = torch.empty_like(pixels, device="cuda:0")
        torch.cuda._sleep(100_000_000)
        late.copy_(pixels.cuda())
        features = model.extract_feature(late)
        late.zero_()
    assert (features.device, features.dtype) == (late.device, pixels.dtype)
    torch.testing.assert_close(features.cpu(), expected, rtol=0, atol=0)
    question = "<image>\nDescribe it."
    settings = {"max_new_tokens": 4, "do_sample": False}
    assert model.chat(tokenizer, pixels.cuda(), question, dict(settings)) == model.chat(
        tokenizer, pixels, question, dict(settings)
    )


@on_gpu
def test_another_gpu_has_no_context(load: Any) -> None:
    """In a process of its own, which uses cuda:1 alone."""
    code = (
        "import subprocess, sys, os, internvl_native; "
        f"model = internvl_native.AutoModel.from_pretrained({str(DATA / 'ckpt_rmsnorm')!r}, "
        "device_map='cuda:1'); "
        "print(subprocess.run(['nvidia-smi', '--id=0', '--query-compute-apps=pid', "
        "'--format=csv,noheader'], capture_output=True, text=True).stdout.split(), os.getpid())"
    )
    if devices.missing() is not None or _count_gpus() < 2:
        pytest.skip("needs two GPUs")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    users, pid = done.stdout.rsplit(maxsplit=1)
    assert repr(pid) not in users


def _count_gpus() -> int:
    import internvl_native._cuda as module

    return module.device_count()


def in_threads(bodies: list[Callable[[], Any]]) -> list[Any]:
    results: list[Any] = [None] * len(bodies)

    def run(index: int) -> None:
        results[index] = bodies[index]()

    threads = [Thread(target=run, args=(index,)) for index in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@on_gpu
def test_two_threads_and_two_models(load: Any, tokenizer: Any) -> None:
    models = [load("cuda:0"), load("cuda:0")]
    cases = [(model, seed) for model in models for seed in range(4)]

    def body(model: Any, seed: int) -> Callable[[], Any]:
        return lambda: answer(model, tokenizer, seed=seed, max_new_tokens=64)

    alone = [body(*case)() for case in cases]
    for _ in range(3):
        assert in_threads([body(*case) for case in cases]) == alone


@on_gpu
def test_memory_goes_back_to_the_gpu(cuda: Any, load: Any, tokenizer: Any) -> None:
    answer(load("cuda:0"), tokenizer)  # the context, and kernels that are loaded now
    gc.collect()
    free = cuda.memory(0)[0]
    for _ in range(3):
        answer(load("cuda:0"), tokenizer)
    gc.collect()
    assert cuda.memory(0)[0] >= free - 4 * MIB


@on_gpu
def test_forty_tiles(load: Any, tokenizer: Any) -> None:
    """In parts and at once: a tile's features do not depend on those beside it, within rounding."""
    model = load("cuda:0", "bfloat16")
    pixels = tiles_of(model, 40)
    whole = model.extract_feature(pixels)
    parts = np.concatenate([model.extract_feature(pixels[i : i + 1]) for i in range(40)])
    assert np.abs(whole - parts).max() <= TOLERANCE["bfloat16"] * np.abs(parts).max()
    assert isinstance(answer(model, tokenizer, tiles=40), str)
