"""Where a model or a part of it computes, and in which dtype."""

from __future__ import annotations

import functools
import logging
from typing import Any, NoReturn, TypeVar

from internvl_native import arrays
from internvl_native.dtypes import parse_dtype
from internvl_native.engine import Engine

logger = logging.getLogger(__name__)

_Placed = TypeVar("_Placed", bound="Placement")


class Placement:
    """Something that scripts place, convert and set to a mode.

    Attributes:
        training: False, always.
    """

    training = False
    _engine: Engine

    @property
    def dtype(self) -> Any:
        """The weights' dtype, a ``torch.dtype`` where torch is loaded, else numpy's
        (bfloat16, which numpy lacks, as the string)."""
        return arrays.public_dtype(self._engine.core.dtype)

    @property
    def device(self) -> Any:
        """The CPU, where the model computes."""
        return arrays.cpu_device()

    def eval(self: _Placed) -> _Placed:
        """Returns it, which only ever runs."""
        return self

    def train(self: _Placed, mode: bool = True) -> _Placed:
        """``train(False)`` is ``eval()``; ValueError for True: there is no training."""
        if mode:
            raise ValueError("internvl_native runs models, it does not train them: train(False)")
        return self

    def requires_grad_(self: _Placed, requires_grad: bool = True) -> _Placed:
        """ValueError unless False: there are no gradients."""
        if requires_grad:
            raise ValueError("internvl_native has no gradients: requires_grad_(False)")
        return self

    def cpu(self: _Placed) -> _Placed:
        """Returns it, which is on the CPU."""
        return self

    def cuda(self: _Placed, device: Any = None) -> _Placed:
        """Stays on the CPU, which this version computes on, and says so once."""
        _warn_placement("cuda" if device is None else str(device))
        return self

    def to(self: _Placed, *args: Any, **kwargs: Any) -> _Placed:
        """``to(device)``, ``to(dtype)``, both, or ``to(tensor)``; another dtype loads the weights
        again. Raises TypeError for what is neither."""
        given = [*args, kwargs.get("device"), kwargs.get("dtype"), kwargs.get("tensor")]
        for value in given:
            if value is None or isinstance(value, bool):  # bool: non_blocking, copy
                continue
            if arrays.is_torch(value):
                self.to(value.device, value.dtype)
            elif arrays.is_dtype(value):
                self._convert(parse_dtype(value, self._engine.config))
            elif not arrays.is_device(value):
                raise TypeError(f"to: expected a device, a float dtype or a tensor, got {value!r}")
            elif str(value) != "cpu":
                _warn_placement(str(value))
        return self

    def half(self: _Placed) -> _Placed:
        """As ``to("float16")``."""
        return self._convert("float16")

    def bfloat16(self: _Placed) -> _Placed:
        """As ``to("bfloat16")``."""
        return self._convert("bfloat16")

    def float(self: _Placed) -> _Placed:
        """As ``to("float32")``."""
        return self._convert("float32")

    def _convert(self: _Placed, dtype: str) -> _Placed:
        if dtype != self._engine.core.dtype:
            raise ValueError(
                f"to: expected {self._engine.core.dtype}, got {dtype}: the parts of a model have "
                "one dtype; convert the model"
            )
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing to do: there are no gradients."""

    def __getstate__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"{name} cannot be copied or pickled: call from_pretrained in every process "
            "that needs one, and share it between threads"
        )


@functools.cache
def _warn_placement(device: str) -> None:
    logger.warning("internvl_native computes on the CPU in this version; %s is ignored", device)
