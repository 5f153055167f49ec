from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoint.synthetic import DTYPES, values_of, write_raw, write_safetensors

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.safetensors import read_safetensors

F32_4 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def entry(**changes: Any) -> str:
    return json.dumps({"a": {**F32_4, **changes}})


def test_tensors_are_found_where_they_are(tmp_path: Path) -> None:
    tensors = {dtype.lower(): values_of({dtype: (3, len(dtype))}, dtype)[dtype] for dtype in DTYPES}
    tensors["scalar"] = np.ones((), np.float32)
    tensors["empty"] = np.ones((0, 5), np.float32)
    stored = read_safetensors(write_safetensors(tmp_path / "file", tensors))
    assert list(stored) == list(tensors)
    for name, tensor in stored.items():
        expected = tensors[name]
        assert tensor.shape == expected.shape
        assert tensor.file.read(tensor.offset, expected.nbytes) == expected.tobytes()
        values = tensor.read()  # bfloat16 as its bits, as `expected`
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected, strict=True)


def test_values_of_dtypes_that_numpy_lacks_are_refused(tmp_path: Path) -> None:
    header = entry(dtype="F8_E4M3", data_offsets=[0, 4])
    stored = read_safetensors(write_raw(tmp_path / "file", header, bytes(4)))
    with pytest.raises(ValueError, match="numpy has no dtype for the values of a F8_E4M3 tensor"):
        stored["a"].read()


def test_padding_metadata_and_unknown_keys_are_allowed(tmp_path: Path) -> None:
    header = '{"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [4], '
    header += '"data_offsets": [0, 16], "note": 1}}   '
    assert list(read_safetensors(write_raw(tmp_path / "file", header, bytes(16)))) == ["a"]
    assert read_safetensors(write_raw(tmp_path / "none", '{"__metadata__": null}')) == {}


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "not an object": ("[1]", "expected a header that begins with '{'"),
    "leading space": (" {}", "expected a header that begins with '{'"),
    "empty header": ("", "expected a header that begins with '{'"),
    "not JSON": ("{nonsense}", "expected valid JSON"),
    "deep nesting": ('{"a":' * 100_000, "expected valid JSON"),
    "not UTF-8": (b'{"\xff": 1}', "expected a header in UTF-8"),
    "key twice": (
        f'{{"a": {json.dumps(F32_4)}, "a": {json.dumps(F32_4)}}}',
        "key 'a' appears twice",
    ),
    "field twice": (
        '{"a": {"dtype": "F32", "dtype": "F16", "shape": [4], "data_offsets": [0, 16]}}',
        "key 'dtype' appears twice",
    ),
    "metadata": ('{"__metadata__": {"a": 1}}', "expected __metadata__ to map strings"),
    "entry": ('{"a": 3}', "tensor 'a': expected an object, got int"),
    "no dtype": ('{"a": {"shape": [4], "data_offsets": [0, 16]}}', "a known dtype, got None"),
    "dtype": (entry(dtype="F31"), "tensor 'a': expected a known dtype, got 'F31'"),
    "dtype type": (entry(dtype=[1]), "expected a known dtype, got [1]"),
    "no shape": ('{"a": {"dtype": "F32", "data_offsets": [0, 16]}}', "a shape of integers >= 0"),
    "negative size": (entry(shape=[-4]), "expected a shape of integers >= 0, got [-4]"),
    "two negative sizes": (entry(shape=[-2, -2]), "a shape of integers >= 0, got [-2, -2]"),
    "float size": (entry(shape=[4.0]), "expected a shape of integers >= 0, got [4.0]"),
    "bool size": (entry(shape=[True, 4]), "expected a shape of integers >= 0, got [True, 4]"),
    "overflowing size": (entry(shape=[2**62, 2**62]), "of the size of F32 (4611686018427387904"),
    "absurd size": (entry(shape=[10**300] * 90), "of the size of F32 (1000000000000"),
    "wrapping size": (entry(shape=[2**62 + 1, 4]), "of the size of F32"),
    "wrong size": (entry(shape=[5]), "data_offsets of the size of F32 (5,), got 16 bytes"),
    "one offset": (entry(data_offsets=[0]), "expected two data_offsets >= 0, got [0]"),
    "negative offset": (entry(data_offsets=[-16, 0]), "expected two data_offsets >= 0"),
    "descending": (entry(data_offsets=[16, 0]), "expected data_offsets in ascending order"),
    "outside": (entry(data_offsets=[4, 20]), "within 16 bytes of data, got [4, 20]"),
    "far outside": (entry(data_offsets=[0, 2**64]), "within 16 bytes of data"),
    "overlap": (
        '{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}, '
        '"b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}',
        "tensor 'b': expected data after that of 'a', which ends at 12, got offset 8",
    ),
    "same place": (
        f'{{"a": {json.dumps(F32_4)}, "b": {json.dumps(F32_4)}}}',
        "tensor 'b': expected data after that of 'a'",
    ),
    "hole": (
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
        '"b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}',
        "tensor 'b': expected data at offset 4, got 8",
    ),
    "hole at the beginning": (
        entry(shape=[3], data_offsets=[4, 16]),
        "tensor 'a': expected data at offset 0, got 4",
    ),
    "bytes at the end": (entry(shape=[3], data_offsets=[0, 12]), "bytes after the last tensor"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_headers(tmp_path: Path, case: str) -> None:
    header, message = BROKEN[case]
    path = write_raw(tmp_path / "model.safetensors", header, bytes(16))
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        read_safetensors(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected at least 8 bytes of header length, got 0"),
        (b"1234567", "expected at least 8 bytes of header length, got 7"),
        ((2**64 - 1).to_bytes(8, "little"), "a header of at most 100000000 bytes"),
        ((100_000_001).to_bytes(8, "little"), "a header of at most 100000000 bytes"),
        ((100).to_bytes(8, "little") + b"{}", "expected a header of 100 bytes, got 2 bytes"),
    ],
)
def test_broken_header_lengths(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        read_safetensors(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    write_safetensors(whole, values_of({"a": (3, 2), "b": (4,)}))
    content = whole.read_bytes()
    for size in range(len(content)):
        path = tmp_path / "cut"
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            read_safetensors(path)
