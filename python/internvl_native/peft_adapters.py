"""LoRA adapters as scripts load and choose them: `PeftAdapterMixin` of transformers.

Adapters are merged into the weights, which are loaded again whenever the choice changes: running
with adapters costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from internvl_native.arguments import kind
from internvl_native.checkpoint.adapter import find_adapter
from internvl_native.checkpoint.locate import DEFAULT_ADAPTER
from internvl_native.engine import Engine

_LOCATION = ("cache_dir", "local_files_only", "subfolder")


class AdapterConfigs(dict[str, dict[str, Any]]):
    """Options of adapters by name, to read only: here peft begins to wrap a model."""

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises TypeError that says what to call instead of ``PeftModel.from_pretrained``."""
        raise TypeError(
            "peft cannot wrap a native model: model.load_adapter(folder), or "
            "from_pretrained(path, adapters=folder), merges a LoRA adapter into it"
        )

    __setitem__ = setdefault = update

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # copies are the caller's


class AdapterMethods:
    """Loading adapters into a model and choosing among them."""

    _engine: Engine

    @property
    def peft_config(self) -> AdapterConfigs:
        """What ``adapter_config.json`` says of each adapter, by the adapters' names."""
        return AdapterConfigs(
            (name, dict(adapter.config.values)) for name, adapter in self._engine.adapters.items()
        )

    def load_adapter(
        self,
        peft_model_id: str | os.PathLike[str],
        adapter_name: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Merges a LoRA adapter into the weights, on top of those that are active.

        Args:
            peft_model_id: folder with ``adapter_config.json`` and ``adapter_model.safetensors``,
                trained on the chat model or on its ``language_model`` or ``vision_model``, or a
                hub name.
            adapter_name: for :meth:`set_adapter`; ``"default"`` if left out.
            revision: of the hub name.
            token: for downloads.
            kwargs: ``cache_dir``, ``local_files_only``, ``subfolder``, or a dict of them as
                ``adapter_kwargs``, say more about where to look; placement is left to the engine.

        Raises:
            CheckpointError: files that are missing or damaged, or tensors that fit no weight.
            ValueError: a name that is taken, or an option of LoRA that cannot be honoured.
        """
        name = DEFAULT_ADAPTER if adapter_name is None else adapter_name
        if name in self._engine.adapters:
            raise ValueError(f"adapter_name: there is an adapter {name!r} already: {self._names()}")
        for unsupported in ("peft_config", "adapter_state_dict"):
            if kwargs.get(unsupported) is not None:
                raise ValueError(f"{unsupported}: expected None: save the adapter into a folder")
        where = {option: kwargs[option] for option in _LOCATION if option in kwargs}
        where.update({"revision": revision, "token": token}, **(kwargs.get("adapter_kwargs") or {}))
        adapter = find_adapter(peft_model_id, **where)
        self._engine.merge({**self._engine.active, name: adapter})

    def set_adapter(self, adapter_name: str | Sequence[str]) -> None:
        """Makes these adapters the ones that are merged, in this order. ValueError for a name that
        :meth:`load_adapter` was not given."""
        self._merge(self._known(adapter_name))

    def active_adapters(self) -> list[str]:
        """Names of the adapters that are merged, in their order."""
        return list(self._engine.active)

    def disable_adapters(self) -> None:
        """Goes back to the base model."""
        self._merge([])

    def enable_adapters(self) -> None:
        """Merges all adapters that were loaded."""
        self._merge(list(self._engine.adapters))

    def delete_adapter(self, adapter_names: str | Sequence[str]) -> None:
        """Forgets adapters, and takes them out of the weights."""
        names = self._known(adapter_names)
        self._merge([name for name in self.active_adapters() if name not in names])
        for name in names:
            self._engine.adapters.pop(name, None)

    def _merge(self, names: Sequence[str]) -> None:
        if list(names) != self.active_adapters():
            self._engine.merge({name: self._engine.adapters[name] for name in names})

    def _known(self, names: str | Sequence[str]) -> list[str]:
        if not isinstance(names, Iterable):
            raise TypeError(f"adapter_name: expected a name or several, got {kind(names)}")
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self._engine.adapters:
                raise ValueError(f"adapter_name: expected one of {self._names()}, got {name!r}")
        return names

    def _names(self) -> str:
        return ", ".join(map(repr, self._engine.adapters)) or "none"
