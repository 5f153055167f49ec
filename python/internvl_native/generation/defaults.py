"""``model.generation_config``: what a checkpoint says, and what callers made of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from internvl_native.generation.configuration import GENERATION_CONFIG, GenerationConfig


class GenerationDefaults:
    """The generation config of a model.

    The reference shows the values of ``generation_config.json`` and generates with those of the
    language model's config. What a caller sets on it, or in its place, does become a default here.

    Attributes:
        config: a ``GenerationConfig``, ours or transformers'.
    """

    def __init__(self, config: GenerationConfig) -> None:
        self.config: Any = config
        self._stored = config.to_dict()

    @classmethod
    def of_checkpoint(cls, folder: Path, model_config: Any) -> GenerationDefaults:
        """Those of the file in ``folder``; without one, of ``model_config``.

        Raises CheckpointError for a file that is no JSON object.
        """
        if (folder / GENERATION_CONFIG).exists():
            return cls(GenerationConfig.from_pretrained(folder))
        return cls(GenerationConfig.from_model_config(model_config))

    def changes(self) -> dict[str, Any]:
        """Values that are not those of the checkpoint; None changes nothing."""
        config = self.config
        if not isinstance(config, GenerationConfig):
            config = GenerationConfig.from_any(config)
        return {
            name: copy.deepcopy(value)
            for name, value in vars(config).items()
            if value is not None and self._stored.get(name) != value
        }
