"""Arrays of other libraries, handed to the engine by DLPack: numpy's own, in the host's memory."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tests.support.gpu_tensors import Tensor

from internvl_native import _core


def pixels() -> Any:
    return np.linspace(-1, 1, 2 * 3 * 112 * 112, dtype=np.float32).reshape(2, 3, 112, 112)


def test_engines_read_and_write_them(fast_model: Any) -> None:
    core = fast_model._core
    expected = core.extract_feature(pixels(), "float32")
    lent = _core.LentArray(pixels().__dlpack__())
    assert lent.shape == [2, 3, 112, 112]
    np.testing.assert_array_equal(core.extract_feature(lent, "float32"), expected)
    features = np.zeros_like(expected)
    core.extract_feature_into(_core.LentArray(features.__dlpack__()), lent, "float32")
    np.testing.assert_array_equal(features, expected)


def test_they_go_back(fast_model: Any) -> None:
    tensor = Tensor(pixels(), "cuda:0")
    lent = _core.LentArray(tensor.__dlpack__(stream=7))
    assert (tensor.streams, tensor.returned) == ([7], 0)
    del lent
    assert tensor.returned == 1


def test_what_they_cannot_be() -> None:
    capsule = pixels().__dlpack__()
    lent = _core.LentArray(capsule)
    for taken in (capsule, 5, lent):
        with pytest.raises(ValueError, match="capsule: expected one of __dlpack__"):
            _core.LentArray(taken)
    with pytest.raises(ValueError, match="array: expected a contiguous one"):
        _core.LentArray(pixels()[:, :, ::2].__dlpack__())
    for array, code in ((np.zeros(3), "2 of 64"), (np.zeros(3, np.int16), "0 of 16")):
        with pytest.raises(ValueError, match=f"got type code {code} bits"):
            _core.LentArray(array.__dlpack__())


def test_shapes_and_dtypes_must_fit(fast_model: Any) -> None:
    core = fast_model._core
    lent = _core.LentArray(pixels().__dlpack__())
    with pytest.raises(ValueError, match="pixel_values: expected float16, got float32"):
        core.extract_feature(lent, "float16")
    with pytest.raises(ValueError, match="pixel_values: expected 4 dimensions"):
        core.extract_feature(_core.LentArray(pixels()[0].__dlpack__()), "float32")
    elsewhere = _core.LentArray(Tensor(pixels(), "cuda:0").__dlpack__(stream=7))
    with pytest.raises(ValueError, match="pixel_values: expected an array in the host's memory"):
        core.extract_feature(elsewhere, "float32")
    with pytest.raises(ValueError, match="out: expected an array in the host's memory"):
        core.extract_feature_into(elsewhere, lent, "float32")
    message = re.escape(f"out: expected float32 (2, {fast_model.num_image_token}, ")
    with pytest.raises(ValueError, match=message):
        core.extract_feature_into(lent, lent, "float32")
