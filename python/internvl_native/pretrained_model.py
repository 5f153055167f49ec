"""What all models are as objects: loaded from a checkpoint, placed, converted, asked for both."""

from __future__ import annotations

import copy
import os
from typing import Any, ClassVar, Literal, TypeVar, overload

from internvl_native import _core, arguments, devices
from internvl_native.checkpoint.loader import open_checkpoint
from internvl_native.checkpoint.locate import locate
from internvl_native.checkpoint.options import load_config, load_options
from internvl_native.checkpoint.weights import unused_tensors
from internvl_native.checkpoint.writer import parse_size, write_weights
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.dtypes import parse_dtype
from internvl_native.engine import Engine
from internvl_native.module import Module
from internvl_native.parameters import ModuleTree
from internvl_native.peft_adapters import AdapterMethods
from internvl_native.taps import Taps

_Model = TypeVar("_Model", bound="PretrainedModel")


class LoadedValue:
    """A value that the weights were loaded with, as an attribute that cannot take another one."""

    def __set_name__(self, owner: type[PretrainedModel], name: str) -> None:
        self._name = name

    def __get__(self, model: PretrainedModel | None, owner: type[PretrainedModel]) -> Any:
        return self if model is None else getattr(model._engine.config, self._name)

    def __set__(self, model: PretrainedModel, value: Any) -> None:
        loaded = getattr(model._engine.config, self._name)
        if value != loaded:
            raise ValueError(
                f"{self._name}: expected {loaded!r}, which the model was loaded with, got "
                f"{value!r:.100}; use from_pretrained(path, {self._name}={value!r:.100})"
            )


class PretrainedModel(Module, AdapterMethods):
    """A model that :meth:`from_pretrained` makes.

    Attributes:
        config: the checkpoint's configuration.
        name_or_path: what it was loaded from.
    """

    config_class: ClassVar[type[InternVLChatConfig] | type[InternVisionConfig]]
    main_input_name = "pixel_values"
    base_model_prefix = ""
    framework = "pt"
    is_gradient_checkpointing = supports_gradient_checkpointing = False
    is_loaded_in_8bit = is_loaded_in_4bit = is_quantized = is_parallelizable = False
    _no_split_modules: tuple[str, ...] = ()

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
            device_map: ``"auto"`` for a GPU if there is one that the model fits, else the CPU (the
                log says which); a device, or a map of the model's parts, whose first GPU takes all.
            kwargs: what transformers takes. The strategy of loading (``low_cpu_mem_usage``, ...) is
                accepted and left to the engine; what cannot be honoured raises.

        Raises:
            CheckpointError: the files are missing, damaged or not what the config says.
            ValueError: an option that cannot be honoured.
        """
        options = load_options(kwargs)
        folder, adapters = locate(pretrained_model_name_or_path, options)
        config = load_config(folder, options, cls.config_class)
        checkpoint = open_checkpoint(folder, variant=options.variant)
        dtype = parse_dtype(options.torch_dtype, config, stored=checkpoint.dtype)
        device = devices.mapped(options.device_map, checkpoint.nbytes(dtype))
        model = cls(config, Engine(config, checkpoint, dtype, device, adapters))
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

    def taps(self, *names: str) -> Taps:
        """Records activations while a block runs.

        ``with model.taps("vit.layer12", "llm.layer*") as taps: model.chat(...)`` keeps what the
        model computes in this thread inside the block, in whichever calls. Nothing is copied that
        was not asked for.

        Args:
            names: ``vit.embeddings``, ``vit.layer1``, ..., ``pixel_shuffle``, ``vit_embeds``,
                ``llm.inputs_embeds``, ``llm.layer1``, ..., ``llm.norm``, or patterns of them with
                ``*``, ``?`` and ``[...]``.

        Returns:
            :class:`Taps`, which says how the rows lie.

        Raises:
            ValueError: a name that is none of these; the error lists them all.
        """
        return Taps(self._engine, names)

    @property
    def base_model(self) -> Module:
        """The language model of a chat model, a vision tower itself."""
        base: Module = getattr(self, self.base_model_prefix, self)
        return base

    @property
    def hf_device_map(self) -> dict[str, Any]:
        """All of the model is in one place, whatever ``device_map`` was given."""
        return {"": self.device}

    @hf_device_map.setter
    def hf_device_map(self, value: Any) -> None:
        """Nothing to do: accelerate's ``dispatch_model`` has called ``to`` before."""

    @classmethod
    def can_generate(cls) -> bool:
        """Whether the model has ``generate``."""
        return hasattr(cls, "generate")

    def gradient_checkpointing_disable(self) -> None:
        """Nothing to do: there are no gradients."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Any = None,
        save_function: Any = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes ``config.json`` and the weights in the model's dtype, adapters merged into them,
        so that this package and the reference can load the folder.

        Args:
            save_directory: made if needed; it may be the folder that the model came from.
            is_main_process: False writes nothing.
            max_shard_size: bytes of a weight file, or a size like ``"5GB"``.
            variant: ``"fp16"`` for ``model.fp16.safetensors``.
            kwargs: what transformers takes (``token``, ``save_peft_format``, ...) has no effect.

        Raises:
            ValueError: ``safe_serialization=False``, ``push_to_hub=True`` or a ``state_dict``,
                which are not possible here, or a size that is none.
            OSError: the folder cannot be written.
        """
        if push_to_hub:
            raise ValueError("push_to_hub: expected False; upload the folder with huggingface-cli")
        if not safe_serialization:
            raise ValueError("safe_serialization: expected True: pickles are not written")
        if state_dict is not None:
            raise ValueError("state_dict: expected None: the weights are those of the model")
        size = parse_size(max_shard_size)
        folder = arguments.folder("save_directory", save_directory)
        if not is_main_process:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._saved_config().save_pretrained(folder)
        if self.can_generate():
            self.generation_config.save_pretrained(folder)
        tensors, dtype = dict(self._named_tensors()), self._engine.dtype
        write_weights(folder, tensors, dtype, max_shard_size=size, variant=variant)

    def _saved_config(self) -> Any:
        config = copy.deepcopy(self.config)
        config.architectures = [type(self).__name__]
        config.torch_dtype = self._engine.dtype
        for name in ("use_backbone_lora", "use_llm_lora"):  # merged into the weights
            if name in config:
                setattr(config, name, 0)
        return config

    def _move(self: _Model, device: str | None, dtype: str | None) -> _Model:
        if self._tree is not self._engine.tree:
            return super()._move(device, dtype)
        self._engine.move(device or self._engine.device, dtype or self._engine.dtype)
        return self
