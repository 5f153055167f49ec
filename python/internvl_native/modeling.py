"""InternVL-Chat models: the classes that scripts written for Hugging Face call.

The signatures, side effects and results are those of ``modeling_internvl_chat.py`` of the
published checkpoints; where that code fails with a bare assertion, these raise an error that names
the argument, what was expected and what came.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arguments, arrays, html
from internvl_native.batch_chat import BatchChatMethods
from internvl_native.chat import ChatMethods
from internvl_native.configuration import InternVLChatConfig
from internvl_native.conversation import get_conv_template
from internvl_native.core_config import num_image_token
from internvl_native.decoder_inputs import DecoderInputs, generation_positions
from internvl_native.engine import Engine
from internvl_native.forward import ForwardOptions, run_forward
from internvl_native.generation import compute_transition_scores, prepare_generation
from internvl_native.generation.defaults import GenerationDefaults
from internvl_native.language_model import LanguageModel
from internvl_native.pixels import host_features, public_features
from internvl_native.prefix_cache import PrefixCache
from internvl_native.pretrained_model import LoadedValue, PretrainedModel
from internvl_native.prompt_run import PromptRun
from internvl_native.streamers import ended_on_error
from internvl_native.taps import recorders
from internvl_native.token_embeddings import InputEmbeddings, OutputEmbeddings
from internvl_native.vision import InternVisionModel, Projector


class InternVLChatModel(PretrainedModel, ChatMethods, BatchChatMethods):
    """An InternVL-Chat checkpoint on the native engine.

    Made by :meth:`from_pretrained`. One model may be used by any number of threads at once.

    Attributes:
        template: name of the conversation template.
        system_message: put in front of every conversation; settable.
        num_image_token: tokens that one tile becomes.
        img_context_token_id: id of ``<IMG_CONTEXT>``; set by ``chat`` and ``batch_chat``, and by
            the caller of ``generate``.
        select_layer: as the model was loaded, not settable.
        downsample_ratio: as the model was loaded, not settable.
        ps_version: as the model was loaded, not settable.
    """

    config: InternVLChatConfig
    config_class = InternVLChatConfig
    base_model_prefix = "language_model"
    _no_split_modules = ("InternVisionModel", "LlamaDecoderLayer", "InternLM2DecoderLayer")
    _uncalled = ("pixel_shuffle",)

    select_layer = LoadedValue()
    downsample_ratio = LoadedValue()
    ps_version = LoadedValue()

    compute_transition_scores = staticmethod(compute_transition_scores)

    def __init__(self, config: InternVLChatConfig, engine: Engine) -> None:
        super().__init__(config, engine)
        self.conv_template = get_conv_template(config.template or "")
        self.template: str = self.conv_template.name
        self.system_message: str = config.get("system_message", self.conv_template.system_message)
        self.patch_size: int = config.vision_config.patch_size
        self.llm_arch_name = (config.llm_config.architectures or [""])[0]
        self.num_image_token = num_image_token(config)
        self.img_context_token_id: int | None = None
        self._prefix_cache = PrefixCache()
        self._defaults = GenerationDefaults.of_checkpoint(engine.checkpoint.path, config)

    def __repr__(self) -> str:
        vision, llm = self.config.vision_config, self.config.llm_config
        return (
            f"InternVLChatModel(name_or_path={self.name_or_path!r}, dtype={self._core.dtype}, "
            f"backend={self.backend}, template={self.template!r},\n"
            f"  vision_model=InternVisionModel(image_size={vision.image_size}, "
            f"num_hidden_layers={vision.num_hidden_layers}, hidden_size={vision.hidden_size}),\n"
            f"  language_model={self.llm_arch_name}(vocab_size={llm.vocab_size}, "
            f"num_hidden_layers={llm.num_hidden_layers}, hidden_size={llm.hidden_size}))"
        )

    def _repr_html_(self) -> str:
        return html.chat_model(self)

    @property
    def generation_config(self) -> Any:
        """A ``GenerationConfig`` with the values of ``generation_config.json``. As in the reference
        these have no effect on ``generate``; what is set on it, or in its place, has."""
        return self._defaults.config

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        self._defaults.config = value

    @property
    def prefix_cache(self) -> PrefixCache:
        """What calls keep for the next ones; ``model.prefix_cache.max_bytes = 0`` turns it off."""
        return self._prefix_cache

    # ---- images

    @cached_property
    def vision_model(self) -> InternVisionModel:
        """The vision tower by itself, as in ``model.vision_model(pixel_values).pooler_output``."""
        tree: Any = self._tree["vision_model"]
        return InternVisionModel(self.config.vision_config, self._engine, tree)

    @cached_property
    def mlp1(self) -> Projector:
        """What follows the pixel shuffle, as in ``model.mlp1(vit_embeds)``."""
        tree: Any = self._tree["mlp1"]
        return Projector(self._engine, tree)

    def extract_feature(self, pixel_values: Any) -> Any:
        """Image features: (tiles, 3, S, S) -> (tiles, ``num_image_token``, hidden_size).

        Takes torch tensors or numpy arrays of any float dtype and returns the same kind; torch
        tensors have the model's dtype and the pixels' device, numpy arrays are float32.
        """
        return public_features(self._engine, pixel_values)

    def pixel_shuffle(self, x: Any, scale_factor: float = 0.5) -> Any:
        """(tiles, width, height, channels) -> (tiles, width * f, height * f, channels / f**2).

        ``f`` is ``scale_factor``. ``ps_version`` "v1" leaves the two spatial axes exchanged, as in
        the reference. Takes and returns a torch tensor or a numpy array.
        """
        shape = tuple(getattr(x, "shape", ()))
        if len(shape) != 4:
            got = f"shape {shape}" if hasattr(x, "shape") else arguments.kind(x)
            raise ValueError(
                f"x: expected an array or tensor (tiles, width, height, channels), got {got}"
            )
        tiles, width, height, channels = shape
        if width * scale_factor % 1 or height * scale_factor % 1:
            raise ValueError(
                f"x: expected a width and a height that scale_factor={scale_factor} leaves whole, "
                f"got {width} x {height}"
            )
        rows, columns = int(width * scale_factor), int(height * scale_factor)
        x = x.reshape(tiles, width, columns, int(channels / scale_factor)).swapaxes(1, 2)
        x = x.reshape(tiles, columns, rows, int(channels / scale_factor**2))
        return x if self.ps_version == "v1" else x.swapaxes(1, 2)

    # ---- text

    @cached_property
    def language_model(self) -> LanguageModel:
        """The decoder by itself, as in ``model.language_model(inputs_embeds=...).logits``."""
        tree: Any = self._tree["language_model"]
        return LanguageModel(self.config, self._engine, tree)

    @property
    def lm_head(self) -> OutputEmbeddings:
        """As ``get_output_embeddings()``."""
        return self.get_output_embeddings()

    def get_input_embeddings(self) -> InputEmbeddings:
        """The token embeddings, callable on ids."""
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> OutputEmbeddings:
        """What makes logits of the final norm's output."""
        return self.language_model.get_output_embeddings()

    def forward(
        self,
        pixel_values: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        image_flags: Any = None,
        past_key_values: Any = None,
        labels: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        logits_to_keep: int = 0,
    ) -> Any:
        """Logits of all positions, to score answers, and to write decoding loops with.

        Args:
            pixel_values: (tiles, 3, S, S); None for text, and where the images are in the cache.
            input_ids: (batch, length), image features put in place of ``img_context_token_id``.
            attention_mask: (batch, length), 0 for padding, all ones if left out; with a cache, of
                its tokens and the new ones.
            position_ids: (batch, length) or (1, length); those of the whole row if left out,
                padding included (``generate`` leaves padding out).
            image_flags: (tiles,) or (tiles, 1): only tiles with a 1 are used; all if left out.
            past_key_values: the cache that an earlier call returned; it is not changed.
            labels: (batch, length): the loss is the mean of -log p(labels[t + 1] | tokens up to t),
                without labels of -100.
            use_cache: return ``past_key_values``; the configuration's value, normally True, if left
                out. It costs nothing beside the memory.
            output_attentions: ValueError if true: attention weights are never in memory.
            output_hidden_states: also return what every layer computes.
            return_dict: False for a tuple.
            logits_to_keep: compute logits of this many last positions only (0: of all);
                (length x vocab_size) float32 values are large. The loss is over all labels.

        Returns:
            CausalLMOutputWithPast: torch tensors if a tensor came, else numpy arrays; a tuple with
            ``return_dict=False``.

            The rows of masked tokens are what the reference computes: a token sees those before it
            that are not masked; padding on the left, which sees none, is at the mean of the values
            of all tokens but later padding (eager InternLM2; the Llama of transformers has later
            padding in that mean, too). No other row depends on them.

        Raises:
            ValueError, TypeError, IndexError: naming the argument.
        """
        options = ForwardOptions(
            attention_mask,
            position_ids,
            past_key_values,
            labels,
            use_cache,
            output_attentions,
            output_hidden_states,
            self.config.use_return_dict if return_dict is None else return_dict,
            logits_to_keep,
        )
        inputs = DecoderInputs.from_ids(input_ids, self.config.llm_config)
        if pixel_values is not None:
            features = self._flagged_features(pixel_values, image_flags)
            inputs = inputs.with_features(features, self._image_token())
        as_torch = any(map(arrays.is_torch, (pixel_values, input_ids, attention_mask, labels)))
        return run_forward(self._engine, self.config.llm_config, inputs, options, as_torch=as_torch)

    def _flagged_features(self, pixel_values: Any, image_flags: Any) -> npt.NDArray[np.float32]:
        """Features of the tiles that are used."""
        pixels, dtype = arrays.pixel_array(pixel_values)
        used = np.ones(len(pixels), np.bool_)
        if image_flags is not None:
            flags = arrays.integer_array(image_flags, "image_flags")
            if flags.shape not in {(len(pixels),), (len(pixels), 1)}:
                raise ValueError(
                    f"image_flags: expected one for each of {len(pixels)} tiles, "
                    f"got shape {flags.shape}"
                )
            used = flags.reshape(-1) == 1
        if self._has_own_features:
            return arrays.float_array(self.extract_feature(pixel_values), "visual_features")[used]
        if not used.any():
            return np.empty((0, self.config.llm_config.hidden_size), np.float32)
        return self._core.extract_feature(pixels[used], dtype, recorders(self._engine))

    def generate(
        self,
        pixel_values: Any = None,
        input_ids: Any = None,
        attention_mask: Any = None,
        visual_features: Any = None,
        generation_config: Any = None,
        output_hidden_states: bool | None = None,
        **generate_kwargs: Any,
    ) -> Any:
        """Generates from token ids, image features put in place of ``img_context_token_id``.

        Args:
            pixel_values: (tiles, 3, S, S), or None for text alone.
            input_ids: (batch, length).
            attention_mask: (batch, length), 0 for padding; all ones if left out.
            visual_features: what :meth:`extract_feature` returned, to skip the vision part; used
                only together with ``pixel_values``, as in the reference.
            generation_config: a ``GenerationConfig`` whose values replace the model's defaults.
            generate_kwargs: what transformers' ``generate`` takes.

        Returns:
            (batch, new tokens + 1) ids that begin with the ``<s>`` that generation started from,
            or an output object with ``return_dict_in_generate=True``; torch tensors if the ids or
            pixels came as torch tensors, else numpy arrays.

        Raises:
            ValueError, TypeError, IndexError: naming the argument.
            NotImplementedError: an option of transformers that the engine lacks.
        """
        with ended_on_error(generate_kwargs.get("streamer")):
            self._image_token()
            inputs = DecoderInputs.from_ids(input_ids, self.config.llm_config)
            mask = arrays.mask_array(attention_mask, inputs.shape)
        as_torch = any(map(arrays.is_torch, (pixel_values, input_ids, visual_features)))
        if generation_config is None:
            defaults = {**self.language_model._defaults.changes(), **self._defaults.changes()}
            generate_kwargs = {**defaults, **generate_kwargs}

        def with_features() -> DecoderInputs:
            if pixel_values is None:
                return inputs
            features = self._features(pixel_values, visual_features)
            return inputs.with_features(features, self._image_token())

        decoder = self.language_model
        if getattr(decoder.generate, "__func__", None) is not _GENERATE:
            with ended_on_error(generate_kwargs.get("streamer")):
                embeds = with_features().embedded(self._core)
            return decoder.generate(
                inputs_embeds=arrays.as_torch(embeds, self._core.dtype) if as_torch else embeds,
                attention_mask=arrays.as_loaded(mask.astype(np.int64)) if as_torch else mask,
                generation_config=generation_config,
                output_hidden_states=output_hidden_states,
                use_cache=True,
                **generate_kwargs,
            )
        plan = prepare_generation(
            {**generate_kwargs, "output_hidden_states": output_hidden_states},
            model_config=self.config.llm_config,
            generation_config=generation_config,
        )
        run = PromptRun(self.prefix_cache, inputs, mask, self._image_token(), pixel_values)

        def open_session() -> _core.ChatSession:
            core, recorded = self._core, recorders(self._engine)
            whole = recorded or plan.needs_prompt_states or visual_features is not None
            if self.prefix_cache.max_bytes > 0 and not whole and not self._has_own_features:
                return run.open(core)
            return with_features().session(core, mask, generation_positions(mask), recorded)

        output = plan.run(open_session, torch_tensors=as_torch)
        run.keep()
        return output

    @property
    def _has_own_features(self) -> bool:
        """Whether a caller's ``extract_feature``, of a subclass or assigned, has to be called."""
        return getattr(self.extract_feature, "__func__", None) is not _EXTRACT_FEATURE

    def _features(self, pixel_values: Any, visual_features: Any) -> npt.NDArray[np.float32]:
        if visual_features is None and self._has_own_features:
            visual_features = self.extract_feature(pixel_values)
        if visual_features is not None:
            return arrays.float_array(visual_features, "visual_features")
        return host_features(self._engine, pixel_values)

    def _image_token(self) -> int:
        if self.img_context_token_id is None:
            raise ValueError(
                "img_context_token_id: set model.img_context_token_id = "
                "tokenizer.convert_tokens_to_ids('<IMG_CONTEXT>') first"
            )
        return arguments.integer("img_context_token_id", self.img_context_token_id)


# What the engine does itself. Callers may put methods of their own in place of these.
_EXTRACT_FEATURE = InternVLChatModel.extract_feature
_GENERATE = LanguageModel.generate
