"""AutoModel: the class that a checkpoint's config.json asks for."""

from __future__ import annotations

import os
from typing import Any

from .modeling import InternVLChatModel


class AutoModel:
    """Loads an InternVL-Chat checkpoint: see :meth:`InternVLChatModel.from_pretrained`."""

    def __init__(self) -> None:
        raise OSError("AutoModel is made by AutoModel.from_pretrained(path)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        return InternVLChatModel.from_pretrained(pretrained_model_name_or_path, *args, **kwargs)


class AutoModelForCausalLM(AutoModel):
    """The same models under the name that some scripts use."""
