"""While weights are loaded: progress, Ctrl-C, and memory with adapters."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoint.synthetic import chat_config, chat_shapes, values_of, write_safetensors
from tests.support.goldens import DATA, EXTRA

from internvl_native import AutoModel, _core, progress
from internvl_native.checkpoint import RowRange, open_checkpoint, weight_map
from internvl_native.checkpoint.lora import LowRankUpdate
from internvl_native.configuration import InternVLChatConfig
from internvl_native.core_config import core_config


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Makes stderr a terminal, and every load a slow one."""
    for name in ("INTERNVL_NATIVE_PROGRESS_BARS", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "transformers.utils.logging", raising=False)
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = open_terminal(monkeypatch)
    AutoModel.from_pretrained(DATA / "ckpt_ntk")
    assert "Loading weights: 100%" in stderr.getvalue()
    assert stderr.getvalue().endswith("\n")


@pytest.mark.parametrize(
    ("name", "value", "shows"),
    [
        ("INTERNVL_NATIVE_PROGRESS_BARS", "0", False),
        ("INTERNVL_NATIVE_PROGRESS_BARS", "1", True),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1", False),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "0", True),
    ],
)
def test_switches(monkeypatch: pytest.MonkeyPatch, name: str, value: str, shows: bool) -> None:
    stderr = open_terminal(monkeypatch)
    monkeypatch.setenv(name, value)
    with progress.loading_bar(10) as report:
        assert (report is not None) == shows
    assert ("Loading weights" in stderr.getvalue()) == shows


def test_no_bar_in_a_log_and_for_a_fast_load(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.loading_bar(10) as report:
            assert (report is None) != stream.isatty()
        assert stream.getvalue() == ""


class Log:
    """What programs put in the place of stderr."""

    def write(self, text: str) -> None:
        raise AssertionError(text)


def test_any_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal(monkeypatch)
    closed = io.StringIO()
    closed.close()
    for stream in (None, Log(), closed):
        monkeypatch.setattr(sys, "stderr", stream)
        AutoModel.from_pretrained(DATA / "ckpt_ntk")


def slow_weights(config: InternVLChatConfig) -> dict[str, list[Any]]:
    """Zeros for every weight, each of which takes 5 ms to make."""

    def slow(rows: RowRange) -> tuple[Any, ...]:
        def make() -> Any:
            time.sleep(0.005)
            return np.zeros(rows.nbytes, np.uint8)

        return _core.ComputedBytes(make, rows.nbytes), 0, rows.dtype, rows.rows, rows.cols

    weights = weight_map(config, open_checkpoint(DATA / "ckpt_layernorm"))
    return {name: [slow(rows) for rows in ranges] for name, ranges in weights.items()}


def test_the_engine_reports_bytes() -> None:
    config = InternVLChatConfig.from_pretrained(DATA / "ckpt_layernorm")
    weights = weight_map(config, open_checkpoint(DATA / "ckpt_layernorm"))
    total = sum(rows.nbytes for ranges in weights.values() for rows in ranges)
    seen: list[int] = []
    begin = time.monotonic()
    _core.InternVL(core_config(config), slow_weights(config), "float32", progress=seen.append)
    assert 2 <= len(seen) <= (time.monotonic() - begin) * 20
    assert seen == sorted(set(seen))
    assert 0 < seen[0] < seen[-1] <= total


def test_ctrl_c_stops_a_load() -> None:
    config = InternVLChatConfig.from_pretrained(DATA / "ckpt_layernorm")
    seen: list[int] = []

    def report(done: int) -> None:
        seen.append(done)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        _core.InternVL(core_config(config), slow_weights(config), "float32", progress=report)
    assert len(seen) == 1


def test_after_an_interrupted_load_the_next_use_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModel.from_pretrained(EXTRA / "ckpt_dynamic")
    pixel_values = np.zeros((1, 3, 56, 56), np.float32)
    base = model.extract_feature(pixel_values)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LowRankUpdate, "add_to", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.load_adapter(EXTRA / "lora/dynamic_vision")
    assert model.active_adapters() == ["default"]
    assert not np.array_equal(model.extract_feature(pixel_values), base)
    model.set_adapter([])
    np.testing.assert_array_equal(model.extract_feature(pixel_values), base)


# VmHWM is the process's peak, VmRSS what is resident now.
PEAK = """
import re, sys
from internvl_native import AutoModel

def status(key):
    text = open("/proc/self/status").read()
    return int(re.search(key + r":\\s+(\\d+) kB", text).group(1)) / 1024

model = AutoModel.from_pretrained(sys.argv[1], torch_dtype="float16", adapters=sys.argv[2])
assert model.active_adapters() == ["default"]
print(status("VmHWM") - status("VmRSS"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps freed memory"
)
def test_weights_are_merged_one_at_a_time(tmp_path: Path) -> None:
    """Weights of 46 MB, 92 MB in the float32 that they are merged in, the largest of them 4 MB."""
    layers, hidden_size, intermediate_size = 6, 512, 2048
    decoder = {
        "model.tok_embeddings.weight": (10, hidden_size),
        "output.weight": (10, hidden_size),
        "model.norm.weight": (hidden_size,),
    }
    adapter: dict[str, tuple[int, ...]] = {}
    for number in range(layers):
        prefix = f"model.layers.{number}."
        decoder[prefix + "attention_norm.weight"] = decoder[prefix + "ffn_norm.weight"] = (512,)
        for name, rows, columns in (
            ("attention.wqkv", 2 * hidden_size, hidden_size),
            ("attention.wo", hidden_size, hidden_size),
            ("feed_forward.w1", intermediate_size, hidden_size),
            ("feed_forward.w2", hidden_size, intermediate_size),
            ("feed_forward.w3", intermediate_size, hidden_size),
        ):
            decoder[f"{prefix}{name}.weight"] = (rows, columns)
            adapter[f"{prefix}{name}.lora_A.weight"] = (4, columns)
            adapter[f"{prefix}{name}.lora_B.weight"] = (rows, 4)
    shapes = chat_shapes(decoder)
    shapes.update({"mlp1.1.weight": (512, 32), "mlp1.1.bias": (512,)})
    shapes.update({"mlp1.3.weight": (512, 512), "mlp1.3.bias": (512,)})
    write_safetensors(tmp_path / "model.safetensors", values_of(shapes, "F16"))
    config = chat_config(
        hidden_size=hidden_size, intermediate_size=intermediate_size, num_hidden_layers=layers
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_safetensors(folder / "adapter_model.safetensors", values_of(adapter, "F16"))
    lora = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": "all-linear"}
    (folder / "adapter_config.json").write_text(json.dumps(lora))
    output = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), str(folder)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert float(output) < 30
