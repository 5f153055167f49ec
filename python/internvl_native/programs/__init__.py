"""Other people's programs on this package: what stands in for transformers and `internvl`.

- ``auto_classes``: the Auto classes of an installed transformers, which give native objects for
  the checkpoints that ``native_checkpoint`` recognises and are themselves for everything else.
- ``stand_in``: a `transformers` with the names this package has, where none is installed.
- ``repository``: `internvl`, the package of the InternVL repository; its modules are in
  ``internvl/`` here.
- ``cuda``: `.cuda()` in programs on a machine without CUDA.
- ``startup``: what the Python processes of `internvl-native run` begin with.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

from internvl_native.programs.auto_classes import (
    PATCHED_MODULES,
    patch_module,
    restore_modules,
)
from internvl_native.programs.patch_after_import import PatchAfterImport
from internvl_native.programs.repository import RepositoryFinder
from internvl_native.programs.stand_in import StandInFinder

__all__ = ["install", "uninstall"]

_finders: list[MetaPathFinder] = []


def install() -> None:
    """Makes `transformers` and `internvl` give native objects for InternVL-Chat checkpoints.

    Works before and after `transformers` is imported; a second call does nothing. Programs use
    ``import internvl_native.patch_transformers`` or ``internvl-native run``.
    """
    if _finders:
        return
    auto_classes = PatchAfterImport(dict.fromkeys(PATCHED_MODULES, patch_module))
    repository, stand_in = RepositoryFinder(), StandInFinder()
    _finders.extend((auto_classes, repository, stand_in))
    sys.meta_path[:0] = [auto_classes, repository]
    sys.meta_path.append(stand_in)
    auto_classes.patch_imported()


def uninstall() -> None:
    """Undoes :func:`install`: what is imported from now on comes from where it came before."""
    for finder in _finders:
        sys.meta_path.remove(finder)
    _finders.clear()
    restore_modules()
    for finder_type in (RepositoryFinder, StandInFinder):
        finder_type.forget_modules()
