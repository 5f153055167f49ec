"""A stand-in of torch, as far as scripts hand tensors to models: tensors in a GPU's memory, which
offer DLPack and have no way to the host."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

_CUDA = 2  # DLPack's kDLCUDA
_FLOAT = 2  # DLPack's kDLFloat

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class _Managed(ctypes.Structure):
    """DLManagedTensor of dlpack.h."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("index", ctypes.c_int32),
        ("dimensions", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p),
        ("offset", ctypes.c_uint64), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
    ]  # fmt: skip


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Tensor:
    """`values` are the memory itself. `streams` are those that waited for it, `returned` counts how
    often it came back."""

    is_meta, layout, is_cuda = False, "torch.strided", True

    def __init__(self, values: npt.NDArray[Any], device: str) -> None:
        self.values = values
        self.device = device
        self.streams: list[int] = []
        self.returned = 0
        self._kept: list[Any] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def ndim(self) -> int:
        return self.values.ndim

    @property
    def dtype(self) -> str:
        return f"torch.{self.values.dtype}"

    def __len__(self) -> int:
        return len(self.values)

    def detach(self) -> Tensor:
        return self

    def contiguous(self) -> Tensor:
        assert self.values.flags.c_contiguous
        return self

    def is_floating_point(self) -> bool:
        return self.values.dtype.kind == "f"

    def isfinite(self) -> Tensor:
        return Tensor(np.isfinite(self.values), self.device)

    def flatten(self, start_dim: int) -> Tensor:
        return Tensor(self.values.reshape(*self.shape[:start_dim], -1), self.device)

    def all(self, dim: int) -> Tensor:
        return Tensor(np.asarray(self.values.all(axis=dim)), self.device)

    def tolist(self) -> Any:
        return self.values.tolist()

    def to(self, dtype: Any) -> Tensor:
        return Tensor(self.values.astype(dtype), self.device)

    def __dlpack__(self, *, stream: int) -> Any:
        self.streams.append(stream)
        shape = (ctypes.c_int64 * self.ndim)(*self.shape)

        def give_back(_managed: int) -> None:
            self.returned += 1

        managed = _Managed(
            self.values.ctypes.data, _CUDA, int(self.device.partition(":")[2]), self.ndim, _FLOAT,
            8 * self.values.itemsize, 1, ctypes.addressof(shape), None, 0, None,
        )  # fmt: skip
        deleter = _Deleter(give_back)
        managed.deleter = ctypes.cast(deleter, ctypes.c_void_p)
        self._kept += [shape, managed, deleter]
        return _new_capsule(ctypes.addressof(managed), b"dltensor", None)


def stand_in(allocate: Callable[[int], int]) -> Any:
    """The module `torch`; `allocate(bytes)` gives the addresses of GPU memory."""
    torch: Any = ModuleType("torch")
    torch.made = []

    def empty(shape: tuple[int, ...], *, dtype: Any, device: str) -> Tensor:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(allocate(size))
        tensor = Tensor(np.frombuffer(memory, dtype).reshape(shape), device)
        torch.made.append(tensor)
        return tensor

    @contextlib.contextmanager
    def current(device: str) -> Iterator[None]:
        yield

    torch.Tensor, torch.empty = Tensor, empty
    torch.float32, torch.float16 = np.dtype(np.float32), np.dtype(np.float16)
    torch.cuda = SimpleNamespace(device=current)
    return torch
