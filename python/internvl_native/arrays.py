"""Arrays of callers: torch tensors and numpy arrays in, the same kind out, torch never imported.

torch counts only where the caller has loaded it: every function here looks it up in
``sys.modules``.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native.arguments import kind

_DEVICE = re.compile(r"(cpu|cuda|hip|hpu|mps|npu|xla|xpu)(:\d+)?")
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


def is_device(value: Any) -> bool:
    """Whether ``to(value)`` names a device: 'cuda:1', its index or a torch.device."""
    torch = loaded_torch()
    if isinstance(value, int) or (torch is not None and isinstance(value, torch.device)):
        return True
    return isinstance(value, str) and _DEVICE.fullmatch(value) is not None


def public_dtype(name: str) -> Any:
    """'bfloat16' -> torch.bfloat16 where torch is loaded, else numpy's dtype or the string."""
    torch = loaded_torch()
    if torch is not None:
        return getattr(torch, name)
    return name if name == "bfloat16" else np.dtype(name)


def public_device(name: str) -> Any:
    """'cuda:0' -> torch.device('cuda:0') where torch is loaded, else the string."""
    torch = loaded_torch()
    return name if torch is None else torch.device(name)


def pixel_array(pixel_values: Any) -> tuple[npt.NDArray[Any], str]:
    """(contiguous array, dtype name) of pixel values (tiles, channels, height, width).

    bfloat16, which numpy lacks, comes as its uint16 bits. Other float dtypes become float32.
    Raises ValueError for integers (pixels must be normalised first), NaN and infinities.
    """
    array, dtype = _pixel_data(pixel_values)
    if array.dtype.kind == "f" and dtype != "float16":
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            array = array.astype(np.float32, copy=False)
    for number, tile in enumerate(array):  # one at a time: no second copy of all of them
        finite = (tile & 0x7F80) != 0x7F80 if dtype == "bfloat16" else np.isfinite(tile)
        if not finite.all():
            raise _not_finite(number)
    return np.ascontiguousarray(array), dtype


def count_tiles(pixel_values: Any) -> int:
    """How many tiles pixel values hold; errors as for ``pixel_array``."""
    if is_torch(pixel_values) and pixel_values.is_cuda:  # not brought to the host for that
        return len(_checked_pixels(_dense(pixel_values, "pixel_values")))
    return len(_pixel_data(pixel_values)[0])


def lies_on(value: Any, device: str) -> bool:
    """Whether ``value`` is a torch tensor in the memory of this GPU, as "cuda:0"."""
    return device != "cpu" and is_torch(value) and str(value.device) == device


def pixel_tensor(pixel_values: Any) -> tuple[Any, str]:
    """``pixel_array`` of a torch tensor where it lies: (contiguous tensor, dtype name)."""
    tensor = _checked_pixels(_dense(pixel_values, "pixel_values"))
    dtype = str(tensor.dtype).replace("torch.", "")
    if not tensor.is_floating_point():
        raise _no_floats(tensor.dtype)
    if dtype not in _FLOAT_DTYPES:
        tensor, dtype = tensor.float(), "float32"
    for number, finite in enumerate(tensor.isfinite().flatten(1).all(1).tolist()):
        if not finite:
            raise _not_finite(number)
    return tensor.contiguous(), dtype


def _pixel_data(pixel_values: Any) -> tuple[npt.NDArray[Any], str]:
    if is_torch(pixel_values):
        tensor = _on_cpu(pixel_values, "pixel_values")
        if str(tensor.dtype) == "torch.bfloat16":
            torch = loaded_torch()
            array = tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
            return _checked_pixels(array), "bfloat16"
        pixel_values = tensor.numpy()
    try:
        array = np.asarray(pixel_values)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "pixel_values: expected tiles of one shape in one array or tensor; "
            "np.concatenate or torch.cat joins several images"
        ) from error
    if array.dtype.name == "bfloat16":  # ml_dtypes
        return _checked_pixels(array.view(np.uint16)), "bfloat16"
    if array.dtype.kind != "f":
        raise _no_floats(_content(pixel_values))
    return _checked_pixels(array), "float16" if array.dtype == np.float16 else "float32"


def _not_finite(tile: int) -> ValueError:
    return ValueError(f"pixel_values: expected finite numbers, got NaN or infinity in tile {tile}")


def _no_floats(got: Any) -> ValueError:
    return ValueError(
        "pixel_values: expected normalised floats of shape (tiles, 3, height, width), "
        f"got {got}; load_image() makes them"
    )


def _on_cpu(tensor: Any, name: str) -> Any:
    """A tensor without gradients in the CPU's memory. ValueError for one without values there."""
    return _dense(tensor, name).cpu()


def _dense(tensor: Any, name: str) -> Any:
    """A tensor without gradients. ValueError for one without values."""
    if tensor.is_meta or str(tensor.layout) != "torch.strided":
        raise ValueError(
            f"{name}: expected a dense tensor that has values, got a tensor of layout "
            f"{tensor.layout} on device {tensor.device}"
        )
    return tensor.detach()


def _content(value: Any) -> str:
    """The dtype of an array, what a list holds, or the kind of anything else."""
    if isinstance(value, (list, tuple)) and value:
        return f"a {kind(value)} of {_content(value[0])}"
    return str(value.dtype) if isinstance(value, np.ndarray) else kind(value)


def _checked_pixels(array: Any) -> Any:
    if array.ndim != 4:
        raise ValueError(
            "pixel_values: expected 4 dimensions (tiles, 3, height, width), "
            f"got shape {tuple(array.shape)}"
        )
    return array


def float_array(value: Any, name: str) -> npt.NDArray[np.float32]:
    """Any float tensor or array as float32."""
    if is_torch(value):
        value = _on_cpu(value, name).float().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected rows of one length") from error
    if array.dtype.kind != "f":
        raise ValueError(f"{name}: expected floats, got {_content(value)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return np.asarray(array, np.float32, order="C")


def float_rows(value: Any, name: str, width: int) -> npt.NDArray[np.float32]:
    """Any float tensor or array (..., width) as float32. ValueError for anything else."""
    rows = float_array(value, name)
    if rows.ndim == 0 or rows.shape[-1] != width:
        raise ValueError(f"{name}: expected (..., {width}), got shape {rows.shape}")
    return rows


def integer_array(value: Any, name: str) -> npt.NDArray[np.int64]:
    """Token ids: a torch tensor, an array or nested lists."""
    if value is None:
        raise TypeError(f"{name}: expected token ids of shape (batch, length), got None")
    if is_torch(value):
        value = _on_cpu(value, name).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected rows of one length; pad them first") from error
    if array.dtype.kind not in "iub":
        raise ValueError(f"{name}: expected integers, got {_content(value)}")
    return array.astype(np.int64, copy=False)


def mask_array(value: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """An attention mask of this shape, of ones and zeros; floats are fine, as in the reference.
    None is all ones."""
    if value is None:
        return np.ones(shape, np.uint8)
    if is_torch(value):
        value = _on_cpu(value, "attention_mask").float().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError("attention_mask: expected rows of one length") from error
    if array.dtype.kind not in "iubf" or not np.isin(array, (0, 1)).all():
        raise ValueError(f"attention_mask: expected ones and zeros, got {value!r:.200}")
    if array.shape != shape:
        raise ValueError(f"attention_mask: expected shape {shape}, got {array.shape}")
    return array.astype(np.uint8)


def like(array: npt.NDArray[np.float32], example: Any, dtype: str) -> Any:
    """``array`` as the kind of ``example``: a torch tensor of ``dtype`` where the example lies, or
    itself."""
    return as_torch(array, dtype).to(example.device) if is_torch(example) else array


def as_torch(array: npt.NDArray[np.float32], dtype: str) -> Any:
    """``array`` as a torch tensor of ``dtype``; torch is loaded."""
    torch = loaded_torch()
    return torch.from_numpy(array).to(getattr(torch, dtype))


def as_loaded(array: npt.NDArray[Any]) -> Any:
    """``array`` as a torch tensor where torch is loaded, else itself."""
    torch = loaded_torch()
    return array if torch is None else torch.from_numpy(array)
