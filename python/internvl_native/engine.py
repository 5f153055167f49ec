"""The engine with a checkpoint's weights in it: what a model and its parts share."""

from __future__ import annotations

import copy
from functools import cached_property

from internvl_native import _core
from internvl_native.checkpoint.loader import Checkpoint
from internvl_native.checkpoint.weights import parameter_tensors, weight_map
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.core_config import core_config
from internvl_native.parameters import ModuleTree, module_tree


class Engine:
    """A checkpoint loaded in one dtype.

    Attributes:
        core: the engine; another one after :meth:`convert`.
        checkpoint: the files that the weights come from.
        config: the configuration that they were loaded with, which later changes of the model's
            ``config`` leave alone, as the modules of the reference do.
    """

    def __init__(
        self, config: InternVLChatConfig | InternVisionConfig, checkpoint: Checkpoint, dtype: str
    ) -> None:
        self.config = copy.deepcopy(config)
        self.checkpoint = checkpoint
        self.core = self._load(dtype)

    def convert(self, dtype: str) -> None:
        """Loads the weights again where ``dtype`` is another one."""
        if dtype != self.core.dtype:
            self.core = self._load(dtype)

    @cached_property
    def tree(self) -> ModuleTree:
        """The model's parameters and modules."""
        return module_tree(parameter_tensors(self.config, self.checkpoint))

    def _load(self, dtype: str) -> _core.InternVL:
        weights = weight_map(self.config, self.checkpoint)
        return _core.InternVL(core_config(self.config), weights, dtype)
