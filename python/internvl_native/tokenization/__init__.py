"""Tokenizers: sentencepiece makes the pieces; added tokens, batches and quirks are here."""

from internvl_native.tokenization.added_tokens import AddedToken
from internvl_native.tokenization.auto import AutoTokenizer
from internvl_native.tokenization.batch_encoding import BatchEncoding
from internvl_native.tokenization.tokenizer import (
    InternLM2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizer,
)

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "InternLM2Tokenizer",
    "LlamaTokenizer",
    "PreTrainedTokenizer",
]
