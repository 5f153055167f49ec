"""A finder that changes modules of others right after they were executed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[ModuleType], None]


class PatchAfterImport(MetaPathFinder):
    """Calls ``patches[name]`` with the module of that name as soon as it is imported.

    The module is found and executed as it would be without this finder; it only has to come
    before the finder that finds it.
    """

    def __init__(self, patches: Mapping[str, Patch]) -> None:
        self._patches = patches

    def patch_imported(self) -> None:
        """Patches the modules that were imported before this finder was in place."""
        for name, patch in self._patches.items():
            module = sys.modules.get(name)
            if module is not None:
                patch(module)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._patches:
            return None
        spec = self._find_after_this(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, self._patches[fullname])
        return spec

    def _find_after_this(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        return next((spec for spec in specs if spec is not None), None)


class _PatchingLoader(Loader):
    """The module's own loader until the module is executed; then it is patched."""

    def __init__(self, loader: Loader, patch: Patch) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._patch(sys.modules[module.__name__])  # a lazy module replaces itself

    def __getattr__(self, name: str) -> Any:  # get_source, get_code, ... of runpy and inspect
        return getattr(self._loader, name)
