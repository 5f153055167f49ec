"""What a notebook shows of models, configs and tokenizers: `_repr_html_` of these classes."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING

from internvl_native.pretrained_config import PretrainedConfig
from internvl_native.units import count, plural

if TYPE_CHECKING:
    from internvl_native.modeling import InternVLChatModel
    from internvl_native.tokenization import PreTrainedTokenizer
    from internvl_native.vision import InternVisionModel


def chat_model(model: InternVLChatModel) -> str:
    """Its parts, and what a prompt may hold."""
    config = model.config
    llm = config.llm_config
    rows = {
        "checkpoint": model.name_or_path,
        "weights": _weights(model),
        "vision_model": f"InternVisionModel, {_layers(config.vision_config)}",
        "language_model": f"{model.llm_arch_name}, {_layers(llm)}, "
        f"vocabulary of {plural(llm.vocab_size, 'token')}",
        "template": model.template,
        "a tile": plural(model.num_image_token, "token"),
        "context": plural(llm.max_position_embeddings, "token"),
    }
    return _table(type(model).__name__, rows)


def vision_model(model: InternVisionModel) -> str:
    """Its shape."""
    config = model.config
    rows = {
        "checkpoint": model.name_or_path,
        "weights": _weights(model),
        "layers": _layers(config),
        "image": f"{config.image_size} x {config.image_size} pixels, "
        f"patches of {config.patch_size} x {config.patch_size}",
    }
    return _table(type(model).__name__, rows)


def tokenizer(tokenizer: PreTrainedTokenizer) -> str:
    """Its special tokens and their ids."""
    tokens = tokenizer.all_special_tokens
    special = (f"{token} {tokenizer.convert_tokens_to_ids(token)}" for token in tokens)
    rows = {
        "checkpoint": tokenizer.name_or_path,
        "vocabulary": plural(len(tokenizer), "token"),
        "model_max_length": plural(tokenizer.model_max_length, "token"),
        "padding_side": tokenizer.padding_side,
        "special tokens": ", ".join(special),
    }
    return _table(type(tokenizer).__name__, rows)


def config(config: PretrainedConfig) -> str:
    """The values that are not the defaults; nested configs can be folded."""
    values = config.to_diff_dict()
    nested = {
        name: value for name, value in vars(config).items() if isinstance(value, PretrainedConfig)
    }
    rows = {name: str(value) for name, value in sorted(values.items()) if name not in nested}
    parts = "".join(
        f"<details><summary>{html.escape(name)}</summary>{value._repr_html_()}</details>"
        for name, value in nested.items()
    )
    return _table(type(config).__name__, rows) + parts


def _weights(model: InternVLChatModel | InternVisionModel) -> str:
    numbers = count(model.num_parameters())
    return f"{numbers} parameters, {model._engine.core.dtype} on {model.backend}"


def _layers(config: PretrainedConfig) -> str:
    return f"{plural(config.get('num_hidden_layers'), 'layer')} of {config.get('hidden_size')}"


def _table(title: str, rows: Mapping[str, str]) -> str:
    """A table with the names in its first column."""
    style = 'style="text-align:left"'
    body = "".join(
        f"<tr><th {style}>{html.escape(name)}</th><td {style}>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
    )
    return f"<table><caption {style}><b>{html.escape(title)}</b></caption>{body}</table>"
