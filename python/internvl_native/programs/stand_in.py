"""A `transformers` for machines that have none: the names that this package has.

It is asked last, so an installed transformers is always the one that is found.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_NAME = "transformers"
_VERSION = "4.37.2"
"""The release whose behaviour this package reproduces."""

_STREAMERS = dict.fromkeys(("TextIteratorStreamer", "TextStreamer"), "streamers")
_STOPPING = dict.fromkeys(
    ("MaxLengthCriteria", "MaxTimeCriteria", "StoppingCriteria", "StoppingCriteriaList"),
    "generation.stopping",
)
_LOGITS = dict.fromkeys(("LogitsProcessor", "LogitsProcessorList"), "generation")
_CONFIGURATION = {"GenerationConfig": "generation.configuration"}
_GENERATION = {**_CONFIGURATION, **_LOGITS, **_STREAMERS, **_STOPPING}
_OUTPUTS = dict.fromkeys(
    ("GenerateBeamDecoderOnlyOutput", "GenerateDecoderOnlyOutput"), "generation.outputs"
)
_AUTO_CONFIG = {"AutoConfig": "configuration"}
_AUTO_MODELS = dict.fromkeys(("AutoModel", "AutoModelForCausalLM"), "auto")
_AUTO_TOKENIZER = {"AutoTokenizer": "tokenization"}
_AUTO_PROCESSOR = {"AutoProcessor": "processor"}
_AUTO_IMAGE_PROCESSOR = {"AutoImageProcessor": "processor"}
_AUTO = {
    **_AUTO_CONFIG, **_AUTO_MODELS, **_AUTO_TOKENIZER, **_AUTO_PROCESSOR, **_AUTO_IMAGE_PROCESSOR,
}  # fmt: skip
_CLIP = dict.fromkeys(("CLIPFeatureExtractor", "CLIPImageProcessor"), "image_processor")
_BATCH_FEATURE = {"BatchFeature": "image_processor"}
_PRETRAINED_CONFIG = {"PretrainedConfig": "pretrained_config"}
_TOKENIZER = {"PreTrainedTokenizer": "tokenization"}
_BATCH_ENCODING = {"BatchEncoding": "tokenization"}
_SET_SEED = {"set_seed": "programs.transformers_helpers"}
_LOGGING = {"logging": "programs.transformers_logging:"}

MODULES: dict[str, dict[str, str]] = {
    "transformers": {
        **_AUTO, **_CLIP, **_GENERATION, **_PRETRAINED_CONFIG, **_TOKENIZER, **_BATCH_ENCODING,
        **_BATCH_FEATURE, **_SET_SEED, **_LOGGING,
    },
    "transformers.configuration_utils": _PRETRAINED_CONFIG,
    "transformers.feature_extraction_utils": _BATCH_FEATURE,
    "transformers.generation": {**_GENERATION, **_OUTPUTS},
    "transformers.generation.configuration_utils": _CONFIGURATION,
    "transformers.generation.logits_process": _LOGITS,
    "transformers.generation.stopping_criteria": _STOPPING,
    "transformers.generation.streamers": _STREAMERS,
    "transformers.generation.utils": _OUTPUTS,
    "transformers.image_processing_utils": _BATCH_FEATURE,
    "transformers.models": {},
    "transformers.models.auto": _AUTO,
    "transformers.models.auto.configuration_auto": _AUTO_CONFIG,
    "transformers.models.auto.image_processing_auto": _AUTO_IMAGE_PROCESSOR,
    "transformers.models.auto.modeling_auto": _AUTO_MODELS,
    "transformers.models.auto.processing_auto": _AUTO_PROCESSOR,
    "transformers.models.auto.tokenization_auto": _AUTO_TOKENIZER,
    "transformers.models.clip": _CLIP,
    "transformers.models.clip.image_processing_clip": _CLIP,
    "transformers.tokenization_utils": _TOKENIZER,
    "transformers.tokenization_utils_base": _BATCH_ENCODING,
    "transformers.trainer_utils": _SET_SEED,
    "transformers.utils": _LOGGING,
}  # fmt: skip
"""Module -> its names -> where they are in this package ("module:" is the module itself)."""

TORCH_NAMES = (*_AUTO_MODELS, *_LOGITS, *_STOPPING)
"""Names of `transformers` that it cannot give without torch, and this package can."""


def stand_in(module: str, name: str) -> Any:
    """What stands in for `name` of the transformers module `module`; KeyError for unknown names."""
    place, separator, _ = MODULES[module][name].partition(":")
    value = importlib.import_module(f"internvl_native.{place}")
    return value if separator else getattr(value, name)


class StandInFinder(MetaPathFinder):
    """Finds `transformers` and its modules where nobody else has found them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, name = fullname.rpartition(".")
        if fullname == _NAME or (fullname in MODULES and _stands_in()):
            return ModuleSpec(fullname, _StandInLoader(), origin=__name__, is_package=True)
        if parent in MODULES and _stands_in() and not name.startswith("_"):
            # `from transformers import X` comes here, too, when transformers has no X. The error
            # has the package's name: with `fullname` it would count as merely absent, and the
            # program would see an error without advice.
            raise ModuleNotFoundError(_advice(parent, name), name=_NAME)
        return None

    @staticmethod
    def forget_modules() -> None:
        """Removes the stand-in from the imported modules."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == _NAME and _is_stand_in(module):
                del sys.modules[name]


class _StandInModule(ModuleType):
    """Imports its names when they are first used."""

    def __getattr__(self, name: str) -> Any:
        if name not in MODULES[self.__name__]:
            raise AttributeError(_advice(self.__name__, name))
        value = stand_in(self.__name__, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *MODULES[self.__name__]})


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        names = MODULES[module.__name__]
        vars(module).update(__all__=sorted(names))
        if module.__name__ == _NAME:
            vars(module).update(__version__=_VERSION)


def _stands_in() -> bool:
    return _is_stand_in(sys.modules.get(_NAME))


def _is_stand_in(module: ModuleType | None) -> bool:
    return isinstance(module, _StandInModule)


def _advice(module: str, name: str) -> str:
    return (
        f"cannot import name {name!r} from {module!r}: transformers is not installed, and "
        f"internvl_native, which stands in for it, has no {name}: pip install transformers"
    )
