from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from internvl_native.configuration import InternVisionConfig
from internvl_native.dtypes import parse_dtype


class TorchDtype:
    """What of a torch dtype can be seen without torch."""

    def __init__(self, name: str) -> None:
        self.name_in_torch = name

    def __repr__(self) -> str:
        return f"torch.{self.name_in_torch}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "float32"),
        ("bfloat16", "bfloat16"),
        ("torch.bfloat16", "bfloat16"),
        ("half", "float16"),
        ("float", "float32"),
        ("torch.half", "float16"),
        (TorchDtype("bfloat16"), "bfloat16"),
        (TorchDtype("float16"), "float16"),
        (np.float16, "float16"),
        (np.float32, "float32"),
        (np.dtype("float32"), "float32"),
    ],
)
def test_accepted(given: Any, expected: str) -> None:
    assert parse_dtype(given) == expected


@pytest.mark.parametrize(
    "given",
    ["float64", "int8", "", "Auto", TorchDtype("float64"), np.float64, np.dtype("int8"), float, 16],
)
def test_refused(given: Any) -> None:
    expected = "torch_dtype: expected 'auto' or a dtype of float32, bfloat16, float16, got "
    with pytest.raises(ValueError, match=expected):
        parse_dtype(given)


def test_auto() -> None:
    config = InternVisionConfig(torch_dtype="bfloat16")
    assert parse_dtype("auto", config) == "bfloat16"
    assert parse_dtype("auto", SimpleNamespace(torch_dtype=TorchDtype("float16"))) == "float16"
    assert parse_dtype("auto", InternVisionConfig(), stored="bfloat16") == "bfloat16"
    assert parse_dtype("auto") == "float32"
    with pytest.raises(ValueError, match=r"got 'auto' \(float64\)"):
        parse_dtype("auto", InternVisionConfig(torch_dtype="float64"))


def test_configs_hold_torch_dtypes_where_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.bfloat16 = TorchDtype("bfloat16")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    config = InternVisionConfig(torch_dtype="bfloat16")
    assert config.torch_dtype is torch.bfloat16
    assert config.to_dict()["torch_dtype"] == "bfloat16"
    assert parse_dtype("auto", config) == "bfloat16"
