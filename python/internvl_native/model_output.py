"""Results with several named parts."""

from __future__ import annotations

from typing import Any


class ModelOutput(dict[str, Any]):
    """A dict whose entries are attributes too; a field that was not asked for is None.

    An index or slice counts the entries that are there, as in transformers.
    """

    _fields: tuple[str, ...] = ()

    def __init__(self, **fields: Any) -> None:
        super().__init__({k: fields[k] for k in self._fields if fields.get(k) is not None})

    def __getattr__(self, name: str) -> Any:
        if name in self._fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are there, in order."""
        return tuple(self.values())

    def __repr__(self) -> str:
        """Shapes and dtypes: the values are long, and the entries can be read one by one."""
        entries = "".join(f"\n  {name}: {_describe(value)}" for name, value in self.items())
        return f"{type(self).__name__}({entries})"


def _describe(value: Any) -> str:
    """Such as "float32 (1, 2202)" or "8 x float32 (1, 2202)"."""
    if getattr(value, "shape", ()):
        return f"{value.dtype} {tuple(value.shape)}"
    if not isinstance(value, (list, tuple)) or not value:
        return repr(value)
    kinds = list(dict.fromkeys(map(_describe, value)))
    inner = ", ".join(kinds)
    return f"{len(value)} x ({inner})" if " x " in inner or kinds[1:] else f"{len(value)} x {inner}"
