"""What all models are as objects: loaded from a checkpoint, placed, converted, asked for both."""

from __future__ import annotations

import functools
import logging
import os
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, overload

from internvl_native import _core, arrays
from internvl_native.checkpoint.loader import open_checkpoint
from internvl_native.checkpoint.options import load_config, load_options
from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.checkpoint.weights import unused_tensors
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.dtypes import parse_dtype
from internvl_native.engine import Engine

logger = logging.getLogger(__name__)

_Model = TypeVar("_Model", bound="PretrainedModel")


class PretrainedModel:
    """A model that :meth:`from_pretrained` makes.

    Attributes:
        config: the checkpoint's configuration.
        name_or_path: what it was loaded from.
        training: False, always.
    """

    config_class: ClassVar[type[InternVLChatConfig] | type[InternVisionConfig]]
    main_input_name = "pixel_values"

    def __init__(self, config: Any, engine: Engine) -> None:
        self.config = config
        self.name_or_path = str(config.name_or_path or engine.checkpoint.path)
        self.training = False
        self._engine = engine

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
            kwargs: what transformers takes. Placement (``device_map``, ``low_cpu_mem_usage``, ...)
                is accepted and left to the engine; what cannot be honoured raises.

        Raises:
            CheckpointError: the files are missing, damaged or not what the config says.
            ValueError: an option that cannot be honoured.
        """
        options = load_options(kwargs)
        path = resolve_checkpoint(pretrained_model_name_or_path, **options.location)
        folder = path / options.subfolder
        config = load_config(folder, options, cls.__name__)
        if not isinstance(config, cls.config_class):
            raise ValueError(
                f"{folder}: expected a checkpoint of model_type {cls.config_class.model_type}, "
                f"got {config.model_type}"
            )
        checkpoint = open_checkpoint(folder, variant=options.variant)
        dtype = parse_dtype(options.torch_dtype, config, stored=checkpoint.dtype)
        model = cls(config, Engine(config, checkpoint, dtype))
        if not options.output_loading_info:
            return model
        info: dict[str, Any] = {"missing_keys": [], "mismatched_keys": [], "error_msgs": []}
        return model, dict(info, unexpected_keys=unused_tensors(config, checkpoint))

    @property
    def _core(self) -> _core.InternVL:
        return self._engine.core

    @property
    def dtype(self) -> Any:
        """dtype of the weights: a ``torch.dtype`` where torch is loaded, else numpy's
        (bfloat16, which numpy lacks, as the string)."""
        return arrays.public_dtype(self._core.dtype)

    @property
    def device(self) -> Any:
        """Where the model computes: the CPU."""
        return arrays.cpu_device()

    @property
    def backend(self) -> str:
        """Backend and instruction set, as ``"cpu/avx512bf16"``."""
        return self._core.backend

    def eval(self: _Model) -> _Model:
        """Returns the model, which only ever runs."""
        return self

    def train(self: _Model, mode: bool = True) -> _Model:
        """``train(False)`` is ``eval()``; ValueError for True: there is no training."""
        if mode:
            raise ValueError("internvl_native runs models, it does not train them: train(False)")
        return self

    def requires_grad_(self: _Model, requires_grad: bool = True) -> _Model:
        """ValueError unless False: there are no gradients."""
        if requires_grad:
            raise ValueError("internvl_native has no gradients: requires_grad_(False)")
        return self

    def cpu(self: _Model) -> _Model:
        """Returns the model, which is on the CPU."""
        return self

    def cuda(self: _Model, device: Any = None) -> _Model:
        """Stays on the CPU, which this version computes on, and says so once."""
        _warn_placement("cuda" if device is None else str(device))
        return self

    def to(self: _Model, *args: Any, **kwargs: Any) -> _Model:
        """``to(device)``, ``to(dtype)``, both, or ``to(tensor)``; another dtype loads the weights
        again. Raises TypeError for what is neither."""
        given = [*args, kwargs.get("device"), kwargs.get("dtype"), kwargs.get("tensor")]
        for value in given:
            if value is None or isinstance(value, bool):  # bool: non_blocking, copy
                continue
            if arrays.is_torch(value):
                self.to(value.device, value.dtype)
            elif arrays.is_dtype(value):
                self._convert(parse_dtype(value, self.config))
            elif not arrays.is_device(value):
                raise TypeError(f"to: expected a device, a float dtype or a tensor, got {value!r}")
            elif str(value) != "cpu":
                _warn_placement(str(value))
        return self

    def half(self: _Model) -> _Model:
        """As ``to("float16")``."""
        return self._convert("float16")

    def bfloat16(self: _Model) -> _Model:
        """As ``to("bfloat16")``."""
        return self._convert("bfloat16")

    def float(self: _Model) -> _Model:
        """As ``to("float32")``."""
        return self._convert("float32")

    def _convert(self: _Model, dtype: str) -> _Model:
        self._engine.convert(dtype)
        return self

    def __getstate__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"{name} cannot be copied or pickled: call from_pretrained in every process "
            "that needs one, and share it between threads"
        )


@functools.cache
def _warn_placement(device: str) -> None:
    logger.warning("internvl_native computes on the CPU in this version; %s is ignored", device)
