"""The result of tokenizing: a dictionary of lists, numpy arrays or torch tensors."""

from __future__ import annotations

import importlib
from collections import UserDict
from typing import Any, Callable

import numpy as np


class BatchEncoding(UserDict):  # type: ignore[type-arg]
    """``input_ids``, ``attention_mask`` and the other outputs, as items and as attributes."""

    is_fast = False
    encodings = None

    def __init__(
        self,
        data: Any = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
    ) -> None:
        super().__init__(data)
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, key: Any) -> Any:
        """Return an output by its name, or the same slice of every output."""
        if isinstance(key, str):
            return self.data[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        raise KeyError(f"key: expected an output's name or a slice, got {key!r}")

    def __getattr__(self, name: str) -> Any:
        # `data` itself is missing while copy and pickle rebuild the object.
        if name == "data" or name not in self.data:
            raise AttributeError(name)
        return self.data[name]

    def keys(self) -> Any:
        """Names, as those of a dictionary: they print without the outputs."""
        return self.data.keys()

    def values(self) -> Any:
        """Outputs."""
        return self.data.values()

    def items(self) -> Any:
        """(name, output)."""
        return self.data.items()

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Convert every output in place: ``"np"`` to numpy arrays, ``"pt"`` to torch tensors.

        ``prepend_batch_axis`` makes the shape ``(1, length)``. Raises ``ImportError`` for ``"pt"``
        without torch and ``ValueError`` for rows of unequal length in torch.
        """
        if tensor_type is None:
            return self
        as_tensor, is_tensor = _framework(tensor_type)
        for name, value in self.data.items():
            value = [value] if prepend_batch_axis else value
            if is_tensor(value):
                continue
            try:
                self.data[name] = as_tensor(value)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"return_tensors: `{name}` does not fit one {tensor_type} tensor; expected "
                    "rows of equal length (padding=True, truncation=True)"
                ) from error
        return self

    def to(self, device: Any) -> BatchEncoding:
        """Move torch tensors to ``device``, in place; lists and numpy arrays have no device."""
        self.data = {k: v.to(device) if hasattr(v, "to") else v for k, v in self.data.items()}
        return self


def _framework(tensor_type: str) -> tuple[Callable[[Any], Any], Callable[[Any], bool]]:
    name = str(getattr(tensor_type, "value", tensor_type))  # transformers' TensorType is an enum
    if name == "np":
        return _as_array, lambda value: isinstance(value, np.ndarray)
    if name != "pt":
        raise ValueError(f"return_tensors: expected 'pt', 'np' or None, got {name!r}")
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(
            "return_tensors='pt' needs torch, which is not installed; use return_tensors='np'"
        ) from error
    return torch.tensor, torch.is_tensor


def _as_array(value: Any) -> Any:
    """Return an int64 array, or an object array of rows where their lengths differ."""
    if len({len(row) if isinstance(row, (list, tuple)) else -1 for row in value}) <= 1:
        return np.asarray(value)
    rows = np.empty(len(value), dtype=object)
    rows[:] = [np.asarray(row) for row in value]
    return rows


def as_python(value: Any) -> Any:
    """Return arrays, tensors and numpy scalars inside ``value`` as Python lists and numbers."""
    if isinstance(value, (list, tuple)):
        return value if all(type(item) is int for item in value) else [as_python(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value
