"""The checkpoint that a command is about."""

from __future__ import annotations

import argparse

from internvl_native import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    CheckpointError,
    InternVLChatConfig,
    InternVLChatModel,
    manual_seed,
    set_num_threads,
)
from internvl_native.cli.errors import did_you_mean
from internvl_native.core_config import core_config
from internvl_native.tokenization import PreTrainedTokenizer


def read_config(name: str, *, local_files_only: bool = False) -> InternVLChatConfig:
    """The config of the checkpoint in a folder or of a hub name.

    Raises CheckpointError, and ValueError if it is no chat model's or makes no sense.
    """
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=local_files_only)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{did_you_mean(name)}") from error
    if not isinstance(config, InternVLChatConfig):
        raise ValueError(f"{name}: expected a chat model, got model_type {config.model_type}")
    core_config(config)
    return config


def load(arguments: argparse.Namespace) -> tuple[InternVLChatModel, PreTrainedTokenizer]:
    """The model and tokenizer, for the options of `add_model` and `add_generation`."""
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    if arguments.seed is not None:
        manual_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModel.from_pretrained(
        arguments.model, torch_dtype=arguments.dtype, adapters=arguments.adapter
    )
    if arguments.system is not None:
        model.system_message = arguments.system
    return model, tokenizer
