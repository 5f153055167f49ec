"""AutoModel: the class that a checkpoint's config.json asks for."""

from __future__ import annotations

from internvl_native.modeling import InternVLChatModel


class AutoModel:
    """Loads an InternVL-Chat checkpoint: see :meth:`InternVLChatModel.from_pretrained`."""

    def __init__(self) -> None:
        raise OSError("AutoModel is made by AutoModel.from_pretrained(path)")

    from_pretrained = InternVLChatModel.from_pretrained


class AutoModelForCausalLM(AutoModel):
    """The same models under the name that some scripts use."""
