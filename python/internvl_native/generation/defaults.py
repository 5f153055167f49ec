"""``model.generation_config``: what a checkpoint says, and what callers made of it."""

from __future__ import annotations

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

    def __init__(self, folder: Path, model_config: Any) -> None:
        """Reads the file in ``folder``; without one, the values of ``model_config`` are shown.

        Raises CheckpointError for a file that is no JSON object.
        """
        if (folder / GENERATION_CONFIG).exists():
            self.config: Any = GenerationConfig.from_pretrained(folder)
        else:
            self.config = GenerationConfig.from_model_config(model_config)
        self._stored = self.config.to_dict()

    def changes(self) -> dict[str, Any]:
        """Values that are not those of the checkpoint; None changes nothing."""
        values = GenerationConfig.from_any(self.config).to_dict()
        return {
            name: value
            for name, value in values.items()
            if value is not None and self._stored.get(name) != value
        }
