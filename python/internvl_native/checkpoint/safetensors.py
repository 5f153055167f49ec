"""The safetensors container: its header is parsed here, its data stays where it is mapped.

The format (https://github.com/huggingface/safetensors): 8 bytes of header length (little endian),
the header (a JSON object: tensor name -> dtype, shape, data_offsets), then the data. The same
files are refused as by the safetensors library: the data must be covered exactly, without holes
and overlaps.
"""

from __future__ import annotations

import os
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from internvl_native._core import CheckpointError, MappedFile
from internvl_native.git_lfs import refuse_pointer
from internvl_native.json_file import parse_json_object

MAX_HEADER_BYTES = 100_000_000

DTYPE_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


WEIGHT_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
"""The dtypes that weights may have, and their names in torch."""

_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
    "BF16": "<u2",
}  # fmt: skip


class StoredTensor(NamedTuple):
    """Where a tensor lies in a checkpoint."""

    file: MappedFile
    offset: int
    """Bytes from the beginning of the file; any alignment."""
    dtype: str
    """As the format spells it: "BF16", "F16", "F32", ..."""
    shape: tuple[int, ...]

    @property
    def path(self) -> str:
        """Of the file."""
        return self.file.path

    def location(self) -> tuple[MappedFile, int]:
        return self.file, self.offset

    def read(self) -> npt.NDArray[Any]:
        """A read-only copy of the values; bfloat16, which numpy lacks, as its uint16 bits.

        Raises ValueError for the other dtypes that numpy lacks (of 8 bits and less).
        """
        if self.dtype not in _NUMPY:
            raise ValueError(f"numpy has no dtype for the values of a {self.dtype} tensor")
        size = prod(self.shape) * DTYPE_BITS[self.dtype] // 8
        data = self.file.read(self.offset, size)
        self.file.release(self.offset, size)
        return np.frombuffer(data, _NUMPY[self.dtype]).reshape(self.shape)


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, StoredTensor]:
    """Maps a safetensors file and returns its tensors by name, in the order of their data.

    Raises CheckpointError, naming the file and the tensor, what was expected and what came.
    """
    file = MappedFile(os.fspath(path))  # converted here: an interrupt in there stays one
    header, data_begin = _read_header(file)
    tensors = {
        name: _parse_entry(file, data_begin, name, entry)
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return _check_layout(file, data_begin, tensors)


def _read_header(file: MappedFile) -> tuple[dict[str, Any], int]:
    if file.size < 8:
        raise CheckpointError(
            f"{file.path}: expected at least 8 bytes of header length, got {file.size} bytes"
        )
    begin = file.read(0, 8)
    refuse_pointer(file.path, begin)
    length = int.from_bytes(begin, "little")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{file.path}: expected a header of at most {MAX_HEADER_BYTES} bytes, got {length}"
        )
    if length > file.size - 8:
        raise CheckpointError(
            f"{file.path}: expected a header of {length} bytes, got {file.size - 8} bytes "
            "(is the file truncated?)"
        )
    try:
        text = file.read(8, length).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file.path}: expected a header in UTF-8, got {error}") from error
    if not text.startswith("{"):
        raise CheckpointError(f"{file.path}: expected a header that begins with '{{'")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in result if names.count(name) > 1)
            raise CheckpointError(f"{file.path}: key {twice!r} appears twice in the header")
        return result

    header = parse_json_object(text, f"{file.path}: header", object_pairs_hook=unique)
    metadata = header.get("__metadata__")
    if metadata is None:
        return header, 8 + length
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{file.path}: expected __metadata__ to map strings to strings")
    return header, 8 + length


def _parse_entry(file: MappedFile, data_begin: int, name: str, entry: object) -> StoredTensor:
    where = f"{file.path}: tensor {name!r}"
    if not isinstance(entry, dict):
        raise CheckpointError(f"{where}: expected an object, got {type(entry).__name__}")
    values: list[Any] = [entry.get(key) for key in ("dtype", "shape", "data_offsets")]
    dtype, shape, offsets = values
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise CheckpointError(f"{where}: expected a known dtype, got {dtype!r:.200}")
    if not _is_sizes(shape):
        raise CheckpointError(f"{where}: expected a shape of integers >= 0, got {shape!r:.200}")
    if not _is_sizes(offsets) or len(offsets) != 2:
        raise CheckpointError(f"{where}: expected two data_offsets >= 0, got {offsets!r:.200}")
    begin, end = offsets
    data_bytes = file.size - data_begin
    if begin > end or end > data_bytes:
        raise CheckpointError(
            f"{where}: expected data_offsets in ascending order within {data_bytes} bytes of "
            f"data, got {offsets!r:.200} (is the file truncated?)"
        )
    if (end - begin) * 8 != prod(shape) * DTYPE_BITS[dtype]:
        raise CheckpointError(
            f"{where}: expected data_offsets of the size of {dtype} {tuple(shape)!r:.200}, "
            f"got {end - begin} bytes at {offsets}"
        )
    return StoredTensor(file, data_begin + begin, dtype, tuple(shape))


def _is_sizes(value: Any) -> bool:
    # bool is an int in Python, but not in JSON
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_layout(
    file: MappedFile, data_begin: int, tensors: dict[str, StoredTensor]
) -> dict[str, StoredTensor]:
    def end_of(tensor: StoredTensor) -> int:
        return tensor.offset + prod(tensor.shape) * DTYPE_BITS[tensor.dtype] // 8

    by_offset = sorted(tensors.items(), key=lambda item: (item[1].offset, end_of(item[1])))
    end, previous = data_begin, ""
    for name, tensor in by_offset:
        if tensor.offset < end:
            raise CheckpointError(
                f"{file.path}: tensor {name!r}: expected data after that of {previous!r}, which "
                f"ends at {end - data_begin}, got offset {tensor.offset - data_begin}: they overlap"
            )
        if tensor.offset > end:
            raise CheckpointError(
                f"{file.path}: tensor {name!r}: expected data at offset {end - data_begin}, got "
                f"{tensor.offset - data_begin}: the bytes between belong to no tensor"
            )
        end, previous = end_of(tensor), name
    if end != file.size:
        raise CheckpointError(
            f"{file.path}: expected {end} bytes, got {file.size}: bytes after the last tensor"
        )
    return dict(by_offset)
