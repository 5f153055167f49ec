"""The vision tower by itself: hidden states of InternViT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arrays
from internvl_native.model_output import ModelOutput

if TYPE_CHECKING:
    from internvl_native.configuration import InternVisionConfig


class VisionOutput(ModelOutput):
    """What the vision tower returns.

    last_hidden_state: (tiles, tokens, C), row 0 the class token. pooler_output: (tiles, C), that
    row. hidden_states: with ``output_hidden_states``, the embeddings and each layer's output.
    """

    _fields = ("last_hidden_state", "pooler_output", "hidden_states")


class VisionModel:
    """``model.vision_model``: callable as the reference's ``InternVisionModel``."""

    def __init__(self, core: _core.InternVL, config: InternVisionConfig) -> None:
        self.config = config
        self._core = core

    @property
    def dtype(self) -> Any:
        return arrays.public_dtype(self._core.dtype)

    @property
    def device(self) -> Any:
        return arrays.cpu_device()

    def __call__(
        self,
        pixel_values: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Runs all layers on (tiles, 3, height, width) of any float dtype.

        Returns a :class:`VisionOutput` of torch tensors in the model's dtype if the pixels are a
        tensor, else of float32 arrays; with ``return_dict=False`` the tuple
        (last_hidden_state, pooler_output[, hidden_states]).

        Raises:
            ValueError: ``pixel_values`` are missing or not normalised floats of four dimensions.
        """
        if pixel_values is None:
            raise ValueError("pixel_values: expected (tiles, 3, height, width), got None")
        pixels, dtype = arrays.pixel_array(pixel_values)
        layers: dict[str, list[npt.NDArray[np.float32]]] = {}

        def keep(name: str, value: npt.NDArray[np.float32]) -> None:
            layers.setdefault(name, []).append(value)

        observer = keep if output_hidden_states else None
        last = self._core.vision_forward(pixels, dtype, self.config.num_hidden_layers, observer)

        def public(array: npt.NDArray[np.float32]) -> Any:
            return arrays.like(array, pixel_values, self._core.dtype)

        hidden_states = tuple(
            public(np.concatenate(chunks).reshape(last.shape)) for chunks in layers.values()
        )
        output = VisionOutput(
            last_hidden_state=public(last),
            pooler_output=public(last[:, 0].copy()),
            hidden_states=hidden_states or None,
        )
        return output.to_tuple() if return_dict is False else output
