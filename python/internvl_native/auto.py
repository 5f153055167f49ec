"""AutoModel: the class that a checkpoint's config.json asks for."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from internvl_native.checkpoint.locate import locate
from internvl_native.checkpoint.options import as_config, load_options
from internvl_native.configuration import AutoConfig
from internvl_native.modeling import InternVLChatModel
from internvl_native.pretrained_model import PretrainedModel
from internvl_native.vision import InternVisionModel


class AutoModel:
    """Loads a checkpoint as the class that belongs to its ``model_type``: ``internvl_chat`` as
    :class:`InternVLChatModel`, ``intern_vit_6b`` as :class:`InternVisionModel`."""

    models: ClassVar[tuple[type[PretrainedModel], ...]] = (InternVLChatModel, InternVisionModel)

    def __init__(self) -> None:
        raise OSError(
            f"{type(self).__name__}: {type(self).__name__}.from_pretrained(path) makes a model"
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """The model of a checkpoint folder or hub name: see
        :meth:`InternVLChatModel.from_pretrained` for arguments and errors.

        Raises:
            ValueError: a ``model_type`` that no class here has, naming those that have one.
        """
        options = load_options(kwargs)
        if options.config is None:
            config = AutoConfig.from_pretrained(
                locate(pretrained_model_name_or_path, options).folder
            )
        elif isinstance(options.config, (str, os.PathLike)):
            config = AutoConfig.from_pretrained(options.config, **options.location)
        else:
            config = as_config(options.config)
        classes = {model.config_class.model_type: model for model in cls.models}
        if config.model_type not in classes:
            raise ValueError(
                f"{pretrained_model_name_or_path}: {cls.__name__}: expected a model_type of "
                f"{', '.join(classes)}, got {config.model_type!r}"
            )
        return classes[config.model_type].from_pretrained(
            pretrained_model_name_or_path, *args, **kwargs
        )


class AutoModelForCausalLM(AutoModel):
    """As :class:`AutoModel`, for models that can generate: ``internvl_chat``."""

    models = (InternVLChatModel,)
