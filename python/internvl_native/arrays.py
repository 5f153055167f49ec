"""Arrays of callers: torch tensors and numpy arrays in, the same kind out, torch never imported.

torch counts only where the caller has loaded it: every function here looks it up in
``sys.modules``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

_FLOAT_DTYPES = ("float32", "bfloat16", "float16")


def loaded_torch() -> Any:
    """The torch module if the caller has imported it, else None."""
    return sys.modules.get("torch")


def is_torch(value: Any) -> bool:
    torch = loaded_torch()
    return torch is not None and isinstance(value, torch.Tensor)


def is_dtype(value: Any) -> bool:
    """Whether ``to(value)`` means a dtype and not a device."""
    torch = loaded_torch()
    if torch is not None and isinstance(value, torch.dtype):
        return True
    if isinstance(value, str):
        return value.replace("torch.", "") in (*_FLOAT_DTYPES, "auto")
    return isinstance(value, (np.dtype, type))


def public_dtype(name: str) -> Any:
    """'bfloat16' -> torch.bfloat16 where torch is loaded, else numpy's dtype or the string."""
    torch = loaded_torch()
    if torch is not None:
        return getattr(torch, name)
    return name if name == "bfloat16" else np.dtype(name)


def cpu_device() -> Any:
    """torch.device('cpu') where torch is loaded, else 'cpu'."""
    torch = loaded_torch()
    return "cpu" if torch is None else torch.device("cpu")


def pixel_array(pixel_values: Any) -> tuple[npt.NDArray[Any], str]:
    """(contiguous array, dtype name) of pixel values (tiles, channels, height, width).

    bfloat16, which numpy lacks, comes as its uint16 bits. Other float dtypes become float32.
    Raises ValueError for integers: pixels must be normalised first.
    """
    if is_torch(pixel_values):
        tensor = pixel_values.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            torch = loaded_torch()
            array = tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
            return _checked_pixels(array), "bfloat16"
        pixel_values = tensor.numpy()
    array = np.asarray(pixel_values)
    if array.dtype.name == "bfloat16":  # ml_dtypes
        return _checked_pixels(array.view(np.uint16)), "bfloat16"
    if array.dtype.kind != "f":
        raise ValueError(
            f"pixel_values: expected normalised floats, got {array.dtype}; "
            "load_image() or build_transform() makes them"
        )
    if array.dtype != np.float16:
        array = array.astype(np.float32, copy=False)
    return _checked_pixels(array), str(array.dtype)


def _checked_pixels(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.ndim != 4:
        raise ValueError(
            "pixel_values: expected 4 dimensions (tiles, 3, height, width), "
            f"got shape {tuple(array.shape)}"
        )
    return np.ascontiguousarray(array)


def float_array(value: Any, name: str) -> npt.NDArray[np.float32]:
    """Any float tensor or array as float32."""
    if is_torch(value):
        value = value.detach().cpu().float().numpy()
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise ValueError(f"{name}: expected floats, got {array.dtype}")
    return np.ascontiguousarray(array, np.float32)


def integer_array(value: Any, name: str) -> npt.NDArray[np.int64]:
    """Token ids or a mask: a torch tensor, an array or nested lists."""
    if value is None:
        raise TypeError(f"{name}: expected token ids of shape (batch, length), got None")
    if is_torch(value):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected rows of one length; pad them first") from error
    if array.dtype.kind not in "iub":
        raise ValueError(f"{name}: expected integers, got {array.dtype}")
    return array.astype(np.int64, copy=False)


def like(array: npt.NDArray[np.float32], example: Any, dtype: str) -> Any:
    """``array`` as the kind of ``example``: a torch tensor of ``dtype``, or itself."""
    if not is_torch(example):
        return array
    torch = loaded_torch()
    return torch.from_numpy(array).to(getattr(torch, dtype))


def as_loaded(array: npt.NDArray[Any]) -> Any:
    """``array`` as a torch tensor where torch is loaded, else itself."""
    torch = loaded_torch()
    return array if torch is None else torch.from_numpy(array)
