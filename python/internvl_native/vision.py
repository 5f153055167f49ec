"""The vision tower: hidden states of InternViT, alone or inside a chat model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arrays, html
from internvl_native.configuration import InternVisionConfig
from internvl_native.engine import Engine
from internvl_native.model_output import ModelOutput
from internvl_native.module import Module, NumberedModules
from internvl_native.pixels import engine_pixels
from internvl_native.pretrained_model import PretrainedModel
from internvl_native.taps import recorders, tap_names


class VisionOutput(ModelOutput):
    """What the vision tower returns.

    last_hidden_state: (tiles, tokens, C), row 0 the class token. pooler_output: (tiles, C), that
    row. hidden_states: with ``output_hidden_states``, the embeddings and each layer's output.
    attentions: None.
    """

    _fields = ("last_hidden_state", "pooler_output", "hidden_states", "attentions")


class VisionEmbeddings(Module):
    """``vision_model.embeddings``: pixels to the rows that the first layer gets."""

    def forward(self, pixel_values: Any) -> Any:
        """(tiles, 3, height, width) -> (tiles, tokens, C), row 0 the class token.

        Returns a torch tensor in the model's dtype for a tensor, else a float32 array. ValueError
        as for the whole tower.
        """
        pixels, dtype = engine_pixels(self._engine, pixel_values)
        core = self._engine.core
        rows = core.vision_forward(pixels, dtype, 0, recorders(self._engine))
        return arrays.like(rows, pixel_values, core.dtype)


class VisionEncoder(Module):
    """``vision_model.encoder``: all layers, from embeddings on."""

    def forward(
        self,
        inputs_embeds: Any,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """(tiles, tokens, C) -> a :class:`VisionOutput` without ``pooler_output``.

        The other arguments, and errors, are those of the whole tower.
        """
        config, core = _loaded_config(self._engine), self._engine.core
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        embeds = arrays.float_array(inputs_embeds, "inputs_embeds")
        run = partial(core.vision_encode, embeds)
        last, states = _run(self._engine, run, output_hidden_states)
        output = VisionOutput(
            last_hidden_state=arrays.like(last, inputs_embeds, core.dtype),
            hidden_states=tuple(arrays.like(s, inputs_embeds, core.dtype) for s in states) or None,
        )
        return_dict = config.use_return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()


class InternVisionModel(PretrainedModel):
    """InternViT: pixels to hidden states.

    Made by :meth:`from_pretrained` from a standalone checkpoint
    (``OpenGVLab/InternViT-6B-448px-V1-5``) or from the vision part of a chat checkpoint, and by
    ``model.vision_model`` of a chat model, which it then shares the weights of. Source:
    ``modeling_intern_vit.py`` of OpenGVLab/InternVL.
    """

    config: InternVisionConfig
    config_class = InternVisionConfig
    _no_split_modules = ("InternVisionEncoderLayer",)
    _parts: ClassVar[dict[str, type[Module]]] = {
        "embeddings": VisionEmbeddings,
        "encoder": VisionEncoder,
    }

    def forward(
        self,
        pixel_values: Any = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        pixel_embeds: Any = None,
    ) -> Any:
        """Runs all layers.

        Args:
            pixel_values: (tiles, 3, height, width) of any float dtype, normalised.
            output_hidden_states: also return the embeddings and every layer's output; the
                configuration's value if left out.
            return_dict: False for a tuple; the configuration's value if left out.
            pixel_embeds: (tiles, tokens, C), embeddings to start from instead of pixels.

        Returns:
            a :class:`VisionOutput` of torch tensors in the model's dtype if a tensor came, else of
            float32 arrays; or the tuple (last_hidden_state, pooler_output[, hidden_states]).

        Raises:
            ValueError: neither pixels nor embeddings, or not of the shape or kind that they need.
        """
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if return_dict is None:
            return_dict = self.config.use_return_dict
        core, example = self._core, pixel_values if pixel_embeds is None else pixel_embeds
        if pixel_embeds is not None:
            embeds = arrays.float_array(pixel_embeds, "pixel_embeds")
            run: Callable[[Any], Any] = partial(core.vision_encode, embeds)
        elif pixel_values is not None:
            pixels, dtype = engine_pixels(self._engine, pixel_values)
            layers = _loaded_config(self._engine).num_hidden_layers
            run = partial(core.vision_forward, pixels, dtype, layers)
        else:
            raise ValueError(
                "pixel_values: expected (tiles, 3, height, width), or pixel_embeds, got neither"
            )
        last, states = _run(self._engine, run, output_hidden_states)
        output = VisionOutput(
            last_hidden_state=arrays.like(last, example, core.dtype),
            pooler_output=arrays.like(last[:, 0].copy(), example, core.dtype),
            hidden_states=tuple(arrays.like(s, example, core.dtype) for s in states) or None,
        )
        return output if return_dict else output.to_tuple()

    def get_input_embeddings(self) -> Any:
        """The patch, class and position embeddings, callable on pixels."""
        return self.embeddings

    def __repr__(self) -> str:
        config = self.config
        return (
            f"InternVisionModel(name_or_path={self.name_or_path!r}, dtype={self._core.dtype}, "
            f"backend={self.backend}, image_size={config.image_size}, "
            f"num_hidden_layers={config.num_hidden_layers}, hidden_size={config.hidden_size})"
        )

    def _repr_html_(self) -> str:
        return html.vision_model(self)


class Projector(NumberedModules):
    """``model.mlp1``: from pixel-shuffled vision rows to rows of the language model's width."""

    def forward(self, vit_embeds: Any) -> Any:
        """(..., C / downsample_ratio^2) -> (..., hidden_size).

        Returns a torch tensor in the model's dtype for a tensor, else a float32 array. ValueError
        for rows of another width.
        """
        width = int(self[0].weight.shape[0])
        rows = arrays.float_rows(vit_embeds, "vit_embeds", width)
        core = self._engine.core
        projected = core.project(rows.reshape(-1, width))
        shaped = projected.reshape(*rows.shape[:-1], projected.shape[-1])
        return arrays.like(shaped, vit_embeds, core.dtype)


def _loaded_config(engine: Engine) -> InternVisionConfig:
    """What the weights were loaded with, whatever became of a model's ``config``."""
    loaded = engine.config
    return loaded if isinstance(loaded, InternVisionConfig) else loaded.vision_config


def _run(
    engine: Engine, run: Callable[[Any], npt.NDArray[np.float32]], wants_states: bool
) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
    """What ``run(recorders)`` returns and, if wanted, the embeddings and each layer's output."""
    names = tap_names(_loaded_config(engine)) if wants_states else []
    states = _core.Activations(set(names))
    last = run([states, *recorders(engine)])
    return last, [np.stack(states.sequences(name)) for name in names]
