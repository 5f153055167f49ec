"""Where a model or a part of it computes, and in which dtype."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from internvl_native import arrays, devices
from internvl_native.dtypes import parse_dtype
from internvl_native.engine import Engine

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
        """Where the model computes, a ``torch.device`` where torch is loaded."""
        return arrays.public_device(self._engine.device)

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
        """As ``to("cpu")``."""
        return self._move("cpu", None)

    def cuda(self: _Placed, device: Any = None) -> _Placed:
        """As ``to("cuda")``, or ``to(device)``."""
        return self._move(devices.placed("cuda" if device is None else device), None)

    def to(self: _Placed, *args: Any, **kwargs: Any) -> _Placed:
        """``to(device)``, ``to(dtype)``, both, or ``to(tensor)``; another place or dtype loads the
        weights again. A GPU that is not to be had leaves the model on the CPU, and one warning says
        what is missing. Raises TypeError for what is neither, DeviceError where a GPU fails."""
        given = [*args, kwargs.get("device"), kwargs.get("dtype"), kwargs.get("tensor")]
        device = dtype = None
        for value in given:
            if value is None or isinstance(value, bool):  # bool: non_blocking, copy
                continue
            if arrays.is_torch(value):
                device = devices.placed(value.device)
                dtype = parse_dtype(value.dtype, self._engine.config)
            elif arrays.is_dtype(value):
                dtype = parse_dtype(value, self._engine.config)
            elif arrays.is_device(value):
                device = devices.placed(value)
            else:
                raise TypeError(f"to: expected a device, a float dtype or a tensor, got {value!r}")
        return self._move(device, dtype)

    def half(self: _Placed) -> _Placed:
        """As ``to("float16")``."""
        return self._move(None, "float16")

    def bfloat16(self: _Placed) -> _Placed:
        """As ``to("bfloat16")``."""
        return self._move(None, "bfloat16")

    def float(self: _Placed) -> _Placed:
        """As ``to("float32")``."""
        return self._move(None, "float32")

    def _move(self: _Placed, device: str | None, dtype: str | None) -> _Placed:
        """Raises ValueError for another dtype or place than the engine's, which a part shares with
        the rest of its model."""
        engine = self._engine
        for name, given, shared in (
            ("dtype", dtype, engine.dtype),
            ("device", device, engine.device),
        ):
            if given not in (None, shared):
                raise ValueError(
                    f"to: expected {shared}, got {given}: the parts of a model have one {name}; "
                    "convert the model"
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
