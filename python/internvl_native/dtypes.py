"""torch_dtype in all the forms that callers pass, without importing torch."""

from __future__ import annotations

import sys
from typing import Any

ELEMENT_SIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes."""
DTYPES = tuple(ELEMENT_SIZE)

_ALIASES = {
    "float": "float32",
    "half": "float16",
    "torch.float": "float32",
    "torch.half": "float16",
}


def parse_dtype(torch_dtype: Any, config: Any = None, *, stored: str = "float32") -> str:
    """ "float32", "bfloat16" or "float16" from what `from_pretrained` was given.

    Accepted are torch dtypes, numpy dtypes and types, and their names with or without "torch.";
    "auto" is `config.torch_dtype` and, where that is not set, `stored`, the dtype of the
    checkpoint. None is float32, as in the reference (transformers 4.37.2 loads in torch's
    default dtype). Raises ValueError for anything else.
    """
    if torch_dtype is None:
        return "float32"
    name = _name_of(torch_dtype)
    if is_auto(torch_dtype):
        # "dtype": as newer releases of transformers write it
        values = (getattr(config, key, None) for key in ("torch_dtype", "dtype"))
        configured = next((value for value in values if value is not None), None)
        name = stored if configured is None else _name_of(configured)
    if name not in DTYPES:
        expected = f"'auto' or a dtype of {', '.join(DTYPES)}"
        raise ValueError(
            f"torch_dtype: expected {expected}, got {torch_dtype!r:.200} ({name:.200})"
        )
    return name


def is_auto(torch_dtype: Any) -> bool:
    """Whether the dtype is left to the config and the checkpoint."""
    return isinstance(torch_dtype, str) and torch_dtype == "auto"


def torch_dtype_of(name: str) -> Any:
    """torch's dtype of this name where torch is loaded, else the name."""
    return getattr(sys.modules.get("torch"), name.rpartition(".")[2], name)


def _name_of(dtype: Any) -> str:
    if isinstance(dtype, str):
        dtype = _ALIASES.get(dtype, dtype)
    # str(torch.bfloat16) is "torch.bfloat16"; numpy types have __name__, numpy dtypes name.
    name = dtype.__name__ if isinstance(dtype, type) else getattr(dtype, "name", dtype)
    return str(name).rpartition("torch.")[2]
