"""What models compute on: the CPU, or a GPU through the extension module ``_cuda``.

``_cuda`` and the libraries of CUDA are opened when a program first asks for a GPU, never before.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from internvl_native import _core

logger = logging.getLogger(__name__)

_AUTOMATIC = ("auto", "balanced", "balanced_low_0", "sequential")


def backend(device: str) -> _core.Backend:
    """The backend of ``"cpu"`` or ``"cuda:0"``. Raises DeviceError saying what a GPU lacks.

    INTERNVL_NATIVE_CUDA_ATTENTION names the implementation of the vision transformer's attention
    on a GPU: ``auto`` (the faster one, by measurement), ``native`` or ``cudnn``. Raises ValueError
    for others.
    """
    if device == "cpu":
        return _core.cpu_backend()
    from internvl_native import _cuda

    return _cuda.backend(
        int(device.partition(":")[2]),
        library_folders(),
        attention=os.environ.get("INTERNVL_NATIVE_CUDA_ATTENTION") or "auto",
        log=logger.info,
    )


def stream(backend: _core.Backend) -> int:
    """The CUDA stream that a GPU's backend queues its work on."""
    from internvl_native import _cuda

    return _cuda.stream(backend)


def synchronize(backend: _core.Backend) -> None:
    """Waits for what a GPU's backend has queued."""
    from internvl_native import _cuda

    _cuda.synchronize(backend)


@functools.cache
def missing() -> str | None:
    """What keeps this machine from computing on a GPU and how to get it; None if nothing does."""
    try:
        import internvl_native._cuda as _cuda
    except ModuleNotFoundError:
        return (
            "this installation was built without CUDA: install nvcc 12.4 or newer, then "
            "pip install --force-reinstall --no-binary internvl-native 'internvl-native[cuda]'"
        )
    except ImportError as error:
        return f"the CUDA backend cannot be loaded: {error}"
    try:
        _cuda.open_libraries(library_folders())
    except _core.DeviceError as error:
        return str(error)
    return None


def library_folders() -> list[str]:
    """Where the wheels ``nvidia-cublas`` and ``nvidia-cudnn-cu13`` have put their libraries."""
    nvidia = importlib.util.find_spec("nvidia")  # a namespace, of which nothing is imported
    roots = nvidia.submodule_search_locations if nvidia is not None else None
    return sorted(str(folder) for root in roots or [] for folder in Path(root).glob("*/lib"))


def placed(device: Any) -> str:
    """``"cpu"`` or ``"cuda:N"`` for what ``to(device)`` takes: a name, an index, a torch.device.

    The CPU in place of a device that is not to be had; one warning says why.
    """
    name = f"cuda:{device}" if isinstance(device, int) else str(device)
    kind = name.partition(":")[0]
    if kind == "cpu":
        return "cpu"
    if kind != "cuda":
        _warn_once(name, "internvl_native computes on CPUs and NVIDIA GPUs")
        return "cpu"
    lacking = missing()
    if lacking is not None:
        _warn_once(name, lacking)
        return "cpu"
    return "cuda:0" if name == "cuda" else name


def mapped(device_map: Any, nbytes: int) -> str:
    """``"cpu"`` or ``"cuda:N"`` for the ``device_map`` of a model whose weights take ``nbytes``.

    ``"auto"`` and its like mean the first GPU that the model fits, else the CPU, and the log says
    which. A model is in one place: of a map of its parts, the first GPU counts.
    """
    if device_map is None:
        return "cpu"
    if isinstance(device_map, Mapping):
        names = [placed(device) for device in device_map.values() if device != "disk"]
        return next((name for name in names if name != "cpu"), "cpu")
    if device_map not in _AUTOMATIC:
        return placed(device_map)
    device, reason = _fitting(nbytes)
    _log_once(device, reason)
    return device


def _fitting(nbytes: int) -> tuple[str, str]:
    """The first GPU with room for a model, or the CPU, and why."""
    lacking = missing()
    if lacking is not None:
        return "cpu", lacking
    from internvl_native import _cuda

    # A tenth more than the weights: activations, and the keys and values of a few thousand tokens.
    needed = nbytes * 11 // 10
    for index in filter(_cuda.is_supported, range(_cuda.device_count())):
        free, _total = _cuda.memory(index)
        if free >= needed:
            return f"cuda:{index}", f"{free >> 20} MiB of {needed >> 20} MiB needed are free there"
    return "cpu", f"no GPU has {needed >> 20} MiB of free memory"


@functools.cache
def _warn_once(device: str, why: str) -> None:
    logger.warning("%s: computing on the CPU instead: %s", device, why)


@functools.cache
def _log_once(device: str, why: str) -> None:
    logger.info("device_map='auto': computing on %s: %s", device, why)
