"""Weights of a model as scripts look at them: shapes at no cost, values read when they are used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Callable, Union

import numpy as np
import numpy.typing as npt

from internvl_native import arrays, bfloat16
from internvl_native.checkpoint.tensor import CheckpointTensor, read_as
from internvl_native.dtypes import ELEMENT_SIZE

ModuleTree = dict[str, Union[CheckpointTensor, "ModuleTree"]]
"""The names of a module's parameters and children, and what they stand for."""


class Parameter:
    """A read-only weight, in the model's dtype.

    Shape, dtype and sizes are known without reading anything. The values are read from the
    checkpoint each time that something needs them: ``np.asarray(p)`` (bfloat16, which numpy lacks,
    comes widened to float32), and everything else that an array can do is done by a copy of them:
    a torch tensor where torch is loaded, else a numpy array. torch's functions take a parameter
    as the tensor it stands for.
    """

    grad = None
    is_leaf = True
    is_cuda = is_meta = is_quantized = is_sparse = False

    def __init__(self, tensor: CheckpointTensor, dtype: str) -> None:
        self._tensor = tensor
        self._dtype = dtype

    # ---- known without reading

    @property
    def shape(self) -> Any:
        """A ``torch.Size`` where torch is loaded, else a tuple."""
        torch = arrays.loaded_torch()
        return self._tensor.shape if torch is None else torch.Size(self._tensor.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._tensor.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self._tensor.shape)

    nelement = numel

    def element_size(self) -> int:
        """Bytes of an element."""
        return ELEMENT_SIZE[self._dtype]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.element_size()

    @property
    def dtype(self) -> Any:
        """As ``model.dtype``."""
        return arrays.public_dtype(self._dtype)

    @property
    def device(self) -> Any:
        """The CPU."""
        return arrays.public_device("cpu")

    def is_floating_point(self) -> bool:
        """True."""
        return True

    @property
    def requires_grad(self) -> bool:
        """Always False; setting it to True raises ValueError, since there are no gradients."""
        return False

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Returns the parameter for False; ValueError for True."""
        if requires_grad:
            raise ValueError("internvl_native has no gradients: requires_grad_(False)")
        return self

    @property
    def data(self) -> Parameter:
        """The parameter itself."""
        return self

    def detach(self) -> Parameter:
        """The parameter itself."""
        return self

    # ---- the values

    def materialize(self) -> Any:
        """A copy of the values: a torch tensor where torch is loaded, else what ``np.asarray``
        gives."""
        torch = arrays.loaded_torch()
        if torch is None:
            return self.__array__()
        values = np.array(read_as(self._tensor, self._dtype))  # torch asks for writable ones
        if self._dtype == "bfloat16":
            return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        values = read_as(self._tensor, self._dtype)
        if self._dtype == "bfloat16":
            values = bfloat16.widen(values)
        return values if dtype is None else values.astype(dtype, copy=False)

    def numpy(self) -> npt.NDArray[Any]:
        """As ``np.asarray``; torch refuses bfloat16, which comes widened to float32 here."""
        return self.__array__()

    def cpu(self) -> Any:
        """A copy of the values, as :meth:`materialize`."""
        return self.materialize()

    def clone(self) -> Any:
        """A copy of the values, as :meth:`materialize`."""
        return self.materialize()

    def float(self) -> Any:
        """A copy of the values in float32."""
        values = self.materialize()
        return values.float() if arrays.is_torch(values) else values.astype(np.float32, copy=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_tensor", "_dtype"):
            raise AttributeError(f"'Parameter' object has no attribute {name!r}")
        if name.endswith("_"):
            raise AttributeError(f"{name}: {_READ_ONLY}")
        return getattr(self.materialize(), name)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(_READ_ONLY)

    def __len__(self) -> int:
        if not self._tensor.shape:
            raise TypeError("len() of a parameter without dimensions")
        return self._tensor.shape[0]

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(function, "__name__", "")
        in_place = name.endswith("_") and not name.endswith("__")
        if in_place or isinstance((kwargs or {}).get("out"), Parameter):
            raise TypeError(f"{name}: {_READ_ONLY}")
        return function(*_materialized(args), **_materialized(kwargs or {}))

    # A copy or pickle holds the values: torch.save(model.state_dict()) writes tensors.

    def __deepcopy__(self, memo: Any) -> Any:
        return self.materialize()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.materialize().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"Parameter(shape={self._tensor.shape}, dtype={self._dtype})"


_READ_ONLY = "the weights of a model are read-only: clone() the parameter to change a copy"


def _materialized(value: Any) -> Any:
    """``value`` with a tensor in place of each parameter in it."""
    if isinstance(value, Parameter):
        return value.materialize()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_materialized, value))
    if isinstance(value, dict):
        return {key: _materialized(item) for key, item in value.items()}
    return value


def _on_the_values(name: str) -> Callable[..., Any]:
    def method(self: Parameter, *args: Any) -> Any:
        return getattr(self.materialize(), name)(*_materialized(args))

    return method


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "matmul", "rmatmul",
    "pow", "rpow", "neg", "abs", "lt", "le", "gt", "ge", "getitem", "iter",
):  # fmt: skip
    setattr(Parameter, f"__{_name}__", _on_the_values(f"__{_name}__"))


def fill_tree(root: ModuleTree, parameters: Mapping[str, CheckpointTensor]) -> None:
    """Puts parameters by dotted name into the tree of their modules, in place of those there."""
    for dotted, tensor in parameters.items():
        *path, name = dotted.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})  # type: ignore[assignment]
        node[name] = tensor
