"""`.cuda()` on a machine without CUDA: published programs place everything there by name.

Tensors stay on the CPU, `nccl` becomes `gloo`, and a warning says so once. With a CUDA device
nothing changes.
"""

from __future__ import annotations

import functools
import logging
import sys
from types import ModuleType
from typing import Any, Callable

from internvl_native.programs.patch_after_import import PatchAfterImport

logger = logging.getLogger(__name__)


def stay_on_cpu() -> None:
    """From here on; torch is not imported for it."""
    finder = PatchAfterImport({"torch": _patch_torch})
    sys.meta_path.insert(0, finder)
    finder.patch_imported()


def _patch_torch(torch: ModuleType) -> None:
    # Modules (torch.nn.Module.to and .cuda) call these methods of their tensors.
    _replace(torch, torch.Tensor, "to", _to)
    _replace(torch, torch.Tensor, "cuda", _cuda)
    for name in ("set_device", "synchronize"):
        _replace(torch, torch.cuda, name, lambda original, *args, **kwargs: None)
    if torch.distributed.is_available():
        _replace(torch, torch.distributed, "init_process_group", _init_process_group)


def _replace(torch: Any, owner: Any, name: str, on_cpu: Callable[..., Any]) -> None:
    """Where CUDA is not available, ``owner.name(...)`` is ``on_cpu(original, ...)``."""
    original = getattr(owner, name)
    is_available = functools.cache(torch.cuda.is_available)  # asked when first needed

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if is_available():
            return original(*args, **kwargs)
        return on_cpu(original, *args, **kwargs)

    setattr(owner, name, wrapper)


def _cuda(original: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
    _warn_once()
    return tensor


def _to(original: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
    if "device" in kwargs:
        kwargs["device"] = _device(kwargs["device"])
    elif args:
        args = (_device(args[0]), *args[1:])
    return original(tensor, *args, **kwargs)


def _device(value: Any) -> Any:
    """'cpu' for a CUDA device (`"cuda:1"`, `torch.device("cuda")`, an index), else the value."""
    is_index = isinstance(value, int) and not isinstance(value, bool)
    if is_index or (not hasattr(value, "shape") and str(value).partition(":")[0] == "cuda"):
        _warn_once()
        return "cpu"
    return value


def _init_process_group(original: Any, backend: Any = None, *args: Any, **kwargs: Any) -> Any:
    if backend == "nccl":
        _warn_once()
        backend = "gloo"
    return original(backend, *args, **kwargs)


@functools.cache
def _warn_once() -> None:
    logger.warning("CUDA is not available: what the program places there stays on the CPU")
