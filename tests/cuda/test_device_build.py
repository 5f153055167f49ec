"""What runs on a device compiles, and links, on any machine with nvcc."""

from __future__ import annotations

import ctypes
import importlib.util

import pytest
from tests.support.extension import ROOT

from . import device


@pytest.mark.skipif(
    importlib.util.find_spec("internvl_native._cuda") is None, reason="built without nvcc"
)
def test_the_kernels_tests_compile_for_a_device() -> None:
    # PTX alone takes half the time; the package itself is assembled for each architecture.
    path = device.compile_library(
        ROOT / "build" / "kernels-ptx", True, "-DCMAKE_CUDA_ARCHITECTURES=90-virtual"
    )
    library = ctypes.CDLL(str(path))
    for function in ("device_new", "attention_decode", "probe_load_matrices", "generation_sample"):
        assert callable(getattr(library, function))
