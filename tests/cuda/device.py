"""Kernels and device memory through the C functions of library.cpp: emulated on the CPU, or, with
INTERNVL_NATIVE_TEST_ON_DEVICE=1, on the GPU of this machine."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.extension import ROOT, compile_project

Array = npt.NDArray[Any]

ON_DEVICE = os.environ.get("INTERNVL_NATIVE_TEST_ON_DEVICE") == "1"
BUILD = ROOT / "build" / ("kernels-device" if ON_DEVICE else "kernels-emulated")
LIBRARY = BUILD / "libkernels.so"
DTYPES = {"float32": 0, "bfloat16": 1, "float16": 2}  # csrc/core/element.h
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class DeviceError(Exception):
    """A launcher refused its arguments, or a kernel did what a device leaves undefined."""


class Tensor(ctypes.Structure):
    """csrc/core/tensor.h"""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_uint8),
        ("rows", ctypes.c_int64),
        ("cols", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("place", ctypes.c_uint8),
    ]


class NormWeights(ctypes.Structure):
    _fields_ = [
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("eps", ctypes.c_float),
        ("centered", ctypes.c_bool),
    ]


class KvView(ctypes.Structure):
    _fields_ = [
        ("pages", ctypes.c_void_p),
        ("segments", ctypes.c_void_p),
        ("segment_count", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("keys", ctypes.c_int64),
        ("layer", ctypes.c_int64),
        ("kv_heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int64),
    ]


class TokenRows(ctypes.Structure):
    _fields_ = [
        ("tokens", ctypes.c_void_p),
        ("stride", ctypes.c_int64),
        ("lengths", ctypes.c_void_p),
    ]


class Sampling(ctypes.Structure):
    _fields_ = [
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int64),
        ("top_p", ctypes.c_double),
        ("min_tokens", ctypes.c_int64),
    ]


SEGMENT = np.dtype(
    [
        ("row", np.int32), ("rows", np.int32), ("past", np.int32), ("first_page", np.int32),
        ("stores", np.int32), ("scale", np.float32),
    ]
)  # fmt: skip


def encoded(values: Array, dtype: str) -> Array:
    """float32 values as `dtype` stores them, rounded to nearest even."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if dtype == "float32":
        return values
    if dtype == "float16":
        return values.astype(np.float16)
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def decoded(stored: Array, dtype: str) -> Array:
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def compile_library(build: Path, on_device: bool, *settings: str) -> Path:
    """Compiles what changed; RuntimeError with the compiler's words where that fails."""
    which = [f"-DON_DEVICE={on_device:d}", f"-DPython_EXECUTABLE={sys.executable}"]
    compile_project(ROOT / "tests" / "cuda", build, [*which, *settings])
    return build / "libkernels.so"


@functools.cache
def build_error() -> str:
    """Compiles what changed."""
    try:
        compile_library(BUILD, ON_DEVICE)
    except RuntimeError as error:
        return str(error)
    return ""


@functools.cache
def library() -> ctypes.CDLL:
    if build_error():
        pytest.fail(build_error(), pytrace=False)
    loaded = ctypes.CDLL(str(LIBRARY))
    loaded.device_new.restype = loaded.device_address.restype = ctypes.c_void_p
    loaded.device_bank_conflicts.restype = ctypes.c_uint64
    return loaded


def source_line(message: str) -> str:
    """The addresses in a message as file and line."""

    def resolve(match: re.Match[str]) -> str:
        base = next(
            int(line.split("-")[0], 16)
            for line in Path("/proc/self/maps").read_text().splitlines()
            if line.endswith(str(LIBRARY))
        )
        offset = hex(int(match[1], 16) - base - 1)  # the call before the return address
        command = ["addr2line", "-e", str(LIBRARY), offset]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    return re.sub(r"\[(0x[0-9a-f]+)\]", resolve, message)


class Buffer:
    """Device memory of exactly the bytes of an array; without one, of undefined content."""

    def __init__(self, name: str, nbytes: int, content: Array | None = None) -> None:
        self.nbytes = nbytes
        self.handle = ctypes.c_void_p(library().device_new(name.encode(), ctypes.c_size_t(nbytes)))
        if content is not None:
            content = np.ascontiguousarray(content)
            assert content.nbytes == nbytes
            library().device_upload(self.handle, content.ctypes.data_as(ctypes.c_void_p))

    def __del__(self) -> None:
        library().device_delete(self.handle)

    @property
    def address(self) -> int:
        return int(library().device_address(self.handle))

    @property
    def pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.address)

    def bytes(self) -> Array:
        content = np.empty(self.nbytes, np.uint8)
        library().device_download(content.ctypes.data_as(ctypes.c_void_p), self.handle)
        return content


class Matrix:
    """Rows on the device. What lies between them is NaN, and must stay so."""

    def __init__(self, rows: int, cols: int, dtype: str, padding: int, name: str) -> None:
        self.shape = (rows, cols)
        self.dtype = dtype
        self.stride = cols + padding
        self.name = name
        self.storage: Buffer

    @property
    def tensor(self) -> Tensor:
        rows, cols = self.shape
        return Tensor(self.storage.address, DTYPES[self.dtype], rows, cols, self.stride)

    def columns(self, first: int, count: int) -> Tensor:
        tensor = self.tensor
        tensor.data += first * BYTES[self.dtype]
        tensor.cols = count
        return tensor

    def array(self) -> Array:
        """Its values as float32."""
        rows, cols = self.shape
        padding = self.stride - cols
        stored = self.storage.bytes()
        if padding:
            tail = np.full(padding * BYTES[self.dtype], 0xFF, np.uint8)
            stored = np.concatenate([stored, tail])
        kind = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16}[self.dtype]
        whole = decoded(stored.view(kind).reshape(rows, self.stride), self.dtype)
        assert np.isnan(whole[:, cols:]).all(), f"{self.name}: written behind the columns"
        return whole[:, :cols]


def empty(
    rows: int, cols: int, dtype: str = "float32", padding: int = 0, name: str = "out"
) -> Matrix:
    """Undefined rows; the last one ends at the end of the memory."""
    matrix = Matrix(rows, cols, dtype, padding, name)
    elements = max(0, rows * matrix.stride - padding)
    matrix.storage = Buffer(name, elements * BYTES[dtype])
    return matrix


def matrix(values: Array, dtype: str = "float32", padding: int = 0, name: str = "x") -> Matrix:
    """The rows of `values`, rounded to `dtype`."""
    rows, cols = values.shape
    result = Matrix(rows, cols, dtype, padding, name)
    whole = np.full((rows, result.stride), np.nan, np.float32)
    whole[:, :cols] = values
    stored = encoded(whole, dtype).ravel()[: max(0, rows * result.stride - padding)]
    result.storage = Buffer(name, stored.nbytes, stored)
    return result


def vector(values: Array, name: str) -> Buffer:
    """Values in their own dtype."""
    return Buffer(name, values.nbytes, values)


def passed(argument: Any) -> Any:
    """Matrix, Tensor, other structures, Buffer, None and numbers as the C functions take them."""
    if isinstance(argument, Matrix):
        return ctypes.byref(argument.tensor)
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    if isinstance(argument, Buffer):
        return argument.pointer
    if isinstance(argument, bool):
        return ctypes.c_bool(argument)
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return argument


def call(function: str, *arguments: Any) -> None:
    """Runs a launcher and waits for it."""
    entry = getattr(library(), function)
    entry.restype = ctypes.c_char_p
    error = entry(*[passed(argument) for argument in arguments])
    if error is not None:
        raise DeviceError(source_line(error.decode()))


def size(function: str, *arguments: Any) -> int:
    """What a function answers that launches nothing."""
    entry = getattr(library(), function)
    entry.restype = ctypes.c_int64
    return int(entry(*[passed(argument) for argument in arguments]))
