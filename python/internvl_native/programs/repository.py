"""`internvl`, the package of https://github.com/OpenGVLab/InternVL (folder internvl_chat).

The modules that programs use to run a model are in the folder `internvl` here, and come before the
repository's own. Everything else (training, patches) is the repository's where it can be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_NAME = "internvl"
_FOLDER = str(Path(__file__).parent)


class RepositoryFinder(MetaPathFinder):
    """Finds `internvl` and its modules, ours before those on the path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != _NAME:
            return None
        entries = [_FOLDER, *sys.path] if path is None else path
        found = [PathFinder.find_spec(fullname, [entry]) for entry in entries]
        specs = [spec for spec in found if spec is not None]
        if not specs:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: internvl_native stands in for what runs a model of "
                "the InternVL repository; for its other modules put the repository's folder "
                "internvl_chat on PYTHONPATH",
                name=fullname,
            )
        first = specs[0]
        if first.submodule_search_locations is not None:
            # The repository's folders follow ours, so that modules we lack are found there.
            first.submodule_search_locations = [
                folder for spec in specs for folder in spec.submodule_search_locations or ()
            ]
        return first

    @staticmethod
    def forget_modules() -> None:
        """Removes `internvl` from the imported modules."""
        for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
            del sys.modules[name]
