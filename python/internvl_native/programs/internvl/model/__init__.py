"""Loading for the evaluation scripts."""

from __future__ import annotations

import argparse

from internvl_native import AutoTokenizer, InternVLChatModel
from internvl_native.tokenization import PreTrainedTokenizer

__all__ = ["load_model_and_tokenizer"]


def load_model_and_tokenizer(
    args: argparse.Namespace,
) -> tuple[InternVLChatModel, PreTrainedTokenizer]:
    """The model of ``args.checkpoint`` in bfloat16, and its tokenizer.

    ``args.auto``, which spreads the model over several GPUs, is left to the engine.

    Raises ValueError for ``args.load_in_8bit`` and ``args.load_in_4bit``.
    """
    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    model = InternVLChatModel.from_pretrained(
        args.checkpoint,
        torch_dtype="bfloat16",
        load_in_8bit=args.load_in_8bit,
        load_in_4bit=args.load_in_4bit,
    )
    return model, tokenizer
