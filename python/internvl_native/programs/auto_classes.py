"""The Auto classes of an installed transformers: native for InternVL-Chat checkpoints."""

from __future__ import annotations

import functools
import importlib.util
from types import ModuleType
from typing import Any, Callable

import internvl_native
from internvl_native.programs.stand_in import TORCH_NAMES, stand_in

_CLASSES = {
    "transformers.models.auto.configuration_auto": ("AutoConfig",),
    "transformers.models.auto.image_processing_auto": ("AutoImageProcessor",),
    "transformers.models.auto.modeling_auto": ("AutoModel", "AutoModelForCausalLM"),
    "transformers.models.auto.processing_auto": ("AutoProcessor",),
    "transformers.models.auto.tokenization_auto": ("AutoTokenizer",),
}
"""Where the classes are defined. They are patched there, so that it does not matter by which name
or when a program imports them."""

PATCHED_MODULES = ("transformers", *_CLASSES)

_undo: list[Callable[[], None]] = []


def patch_module(module: ModuleType) -> None:
    """Patches one of `PATCHED_MODULES`."""
    if module.__name__ == "transformers":
        if importlib.util.find_spec("torch") is None:
            _give_names_without_torch(module)
        return
    for name in _CLASSES[module.__name__]:
        _dispatch(getattr(module, name), name)


def restore_modules() -> None:
    """Undoes all patches."""
    while _undo:
        _undo.pop()()


def _dispatch(real: Any, name: str) -> None:
    """Lets `real.from_pretrained` load native checkpoints with our class `name`."""
    function = real.from_pretrained.__func__

    @functools.wraps(function)
    def from_pretrained(
        cls: Any, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any
    ) -> Any:
        # Imported late: every Python process of `internvl-native run` imports this module.
        from internvl_native.programs.native_checkpoint import is_native

        if is_native(pretrained_model_name_or_path, kwargs):
            native = getattr(internvl_native, name)
            return native.from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        return function(cls, pretrained_model_name_or_path, *args, **kwargs)

    _set(real, "from_pretrained", classmethod(from_pretrained))


def _give_names_without_torch(transformers: ModuleType) -> None:
    """Without torch, transformers has dummies that raise in place of these."""
    for name in TORCH_NAMES:
        _set(transformers, name, stand_in("transformers", name))


def _set(owner: Any, name: str, value: Any) -> None:
    before = vars(owner).get(name)
    setattr(owner, name, value)
    if before is None:
        _undo.append(lambda: delattr(owner, name))
    else:
        _undo.append(lambda: setattr(owner, name, before))
