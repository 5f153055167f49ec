"""The stand-in of cuDNN beside a module of stand-ins."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

OLDEST = 91301  # csrc/cuda/cudnn.h
CUDA = 13000  # CUDART_VERSION in standin


def stand_in(module: Any) -> ctypes.CDLL:
    """Its functions for tests: what it counts, and what it pretends to be."""
    library = ctypes.CDLL(str(Path(module.__file__).parent / "libcudnn_graph.so.9"))
    library.standin_set_cudnn.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    library.standin_set_cudnn_milliseconds.argtypes = [ctypes.c_float]
    library.standin_cudnn_executions.restype = ctypes.c_size_t
    library.standin_cudnn_plans.restype = ctypes.c_size_t
    return library
