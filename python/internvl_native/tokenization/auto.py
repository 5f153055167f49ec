"""``AutoTokenizer``: the tokenizer that a checkpoint names."""

from __future__ import annotations

import os
from typing import Any

from internvl_native.json_file import read_json_object
from internvl_native.tokenization import files
from internvl_native.tokenization.tokenizer import (
    InternLM2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizer,
)

_CLASSES: dict[str, type[PreTrainedTokenizer]] = {
    "InternLM2Tokenizer": InternLM2Tokenizer,
    "LlamaTokenizer": LlamaTokenizer,
}


class AutoTokenizer:
    """Loads tokenizers; use ``AutoTokenizer.from_pretrained``."""

    def __init__(self) -> None:
        raise OSError("AutoTokenizer is made by AutoTokenizer.from_pretrained(path)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *unused: Any, **keywords: Any
    ) -> PreTrainedTokenizer:
        """Load the tokenizer of a checkpoint folder or a hub name.

        Keywords that tokenizer_config.json knows (``add_eos_token``, ``padding_side``, tokens, ...)
        override it; those about downloads find the folder; all others (``trust_remote_code``,
        ``use_fast``, ``device_map``, ...) are accepted and have no effect, because this is always
        the tokenizer the reference calls slow.

        Raises ``CheckpointError`` naming a missing or damaged file, ``ValueError`` for a tokenizer
        class that is not supported.
        """
        folder = files.checkpoint_folder(pretrained_model_name_or_path, keywords)
        name = _class_name(read_json_object(folder / files.CONFIG))
        known = name and _CLASSES.get(name[:-4] if name.endswith("Fast") else name)
        if not known:
            raise ValueError(
                f"{folder / files.CONFIG}: tokenizer_class: expected one of {', '.join(_CLASSES)} "
                f"(or their Fast forms), got {name!r}"
            )
        return known._from_folder(folder, str(pretrained_model_name_or_path), keywords)


def _class_name(config: dict[str, Any]) -> str | None:
    """Return the class that the config names, itself or through ``auto_map``."""
    if config.get("tokenizer_class"):
        return str(config["tokenizer_class"])
    references = config.get("auto_map") or {}
    if isinstance(references, dict):
        references = references.get("AutoTokenizer") or []
    named = [str(reference) for reference in references if reference]
    return named[0].split(".")[-1] if named else None
