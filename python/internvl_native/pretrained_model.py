"""What all models are as objects: loaded from a checkpoint, placed, converted, asked for both."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal, TypeVar, overload

from internvl_native import _core
from internvl_native.checkpoint.loader import open_checkpoint
from internvl_native.checkpoint.locate import locate
from internvl_native.checkpoint.options import load_config, load_options
from internvl_native.checkpoint.weights import unused_tensors
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.dtypes import parse_dtype
from internvl_native.engine import Engine
from internvl_native.module import Module
from internvl_native.parameters import ModuleTree
from internvl_native.peft_adapters import AdapterMethods

_Model = TypeVar("_Model", bound="PretrainedModel")


class PretrainedModel(Module, AdapterMethods):
    """A model that :meth:`from_pretrained` makes.

    Attributes:
        config: the checkpoint's configuration.
        name_or_path: what it was loaded from.
    """

    config_class: ClassVar[type[InternVLChatConfig] | type[InternVisionConfig]]
    main_input_name = "pixel_values"

    def __init__(self, config: Any, engine: Engine, tree: ModuleTree | None = None) -> None:
        super().__init__(engine, engine.tree if tree is None else tree)
        self.config = config
        self.name_or_path = str(config.name_or_path or engine.checkpoint.path)

    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Model],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        output_loading_info: Literal[False] = ...,
        **kwargs: Any,
    ) -> _Model: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[_Model],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        output_loading_info: Literal[True],
        **kwargs: Any,
    ) -> tuple[_Model, dict[str, Any]]: ...

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """Loads a checkpoint folder, or a hub name that is in the local Hugging Face cache.

        Args:
            pretrained_model_name_or_path: folder with ``config.json`` and safetensors, or
                ``"OpenGVLab/InternVL-Chat-V1-5"``.
            torch_dtype: dtype of the weights and of arithmetic: a torch dtype, a numpy dtype, a
                string, or ``"auto"``; float32 by default, as in transformers. On a CPU, float16
                weights stay float16 in memory and are widened as they are read: arithmetic and
                activations are float32.
            config: a configuration to use instead of the checkpoint's.
            adapters: a LoRA adapter to merge into the weights, as :meth:`load_adapter` does later:
                its folder or hub name, or a dict of several by name. An adapter's folder in place
                of the model's loads the model that it names, too.
            kwargs: what transformers takes. Placement (``device_map``, ``low_cpu_mem_usage``, ...)
                is accepted and left to the engine; what cannot be honoured raises.

        Raises:
            CheckpointError: the files are missing, damaged or not what the config says.
            ValueError: an option that cannot be honoured.
        """
        options = load_options(kwargs)
        folder, adapters = locate(pretrained_model_name_or_path, options)
        config = load_config(folder, options, cls.config_class)
        checkpoint = open_checkpoint(folder, variant=options.variant)
        dtype = parse_dtype(options.torch_dtype, config, stored=checkpoint.dtype)
        model = cls(config, Engine(config, checkpoint, dtype, adapters))
        if not options.output_loading_info:
            return model
        info: dict[str, Any] = {"missing_keys": [], "mismatched_keys": [], "error_msgs": []}
        return model, dict(info, unexpected_keys=unused_tensors(config, checkpoint))

    @property
    def _core(self) -> _core.InternVL:
        return self._engine.core

    @property
    def backend(self) -> str:
        """Backend and instruction set, as ``"cpu/avx512bf16"``."""
        return self._core.backend

    def _convert(self: _Model, dtype: str) -> _Model:
        if self._tree is not self._engine.tree:
            return super()._convert(dtype)
        self._engine.convert(dtype)
        return self
