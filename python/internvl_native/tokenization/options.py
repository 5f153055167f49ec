"""The keywords of ``tokenizer(...)``: checked, and their strategies resolved."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Protocol

from internvl_native.arguments import integer

PADDINGS = ("longest", "max_length", "do_not_pad")
TRUNCATIONS = ("only_first", "only_second", "longest_first", "do_not_truncate")
_UNLIMITED = 10**20  # a model_max_length beyond this means that there is no limit


class HasLimits(Protocol):
    """What the options take from the tokenizer."""

    padding_side: str
    model_max_length: int
    pad_token: Any


@dataclasses.dataclass
class EncodeOptions:
    """The keywords of ``tokenizer(...)`` after the texts; its ``__call__`` explains them."""

    add_special_tokens: bool = True
    padding: Any = False
    truncation: Any = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None

    @classmethod
    def of(cls, tokenizer: HasLimits, keywords: dict[str, Any]) -> EncodeOptions:
        """Return checked options with the strategies resolved; unknown keywords are reported."""
        names = {field.name for field in dataclasses.fields(cls)}
        old_truncation = keywords.pop("truncation_strategy", None)
        old_padding = keywords.pop("pad_to_max_length", False)
        for name in sorted(keywords.keys() - names):
            warnings.warn(
                f"tokenizer: keyword {name!r} is not known and has no effect", stacklevel=3
            )
        options = cls(**{k: v for k, v in keywords.items() if k in names})
        if old_padding and options.padding is False:
            options.padding = "longest" if options.max_length is None else "max_length"
        if old_truncation and options.truncation is None:
            options.truncation = old_truncation
        options.resolve(tokenizer)
        return options

    def resolve(self, tokenizer: HasLimits) -> None:
        if self.return_offsets_mapping:
            raise NotImplementedError("return_offsets_mapping: sentencepiece gives no offsets here")
        if isinstance(self.max_length, float) and self.max_length.is_integer():
            self.max_length = int(self.max_length)  # as model_max_length may come from JSON
        if self.max_length is not None and integer("max_length", self.max_length) < 0:
            raise ValueError(f"max_length: expected 0 or more, got {self.max_length}")
        if self.max_length is not None and self.padding is False and self.truncation is None:
            self.truncation = "longest_first"
        self.padding = strategy("padding", self.padding, PADDINGS, "longest")
        self.truncation = strategy("truncation", self.truncation, TRUNCATIONS, "longest_first")
        self.padding_side = side("padding_side", self.padding_side or tokenizer.padding_side)
        if self.max_length is None and (self.padding == "max_length" or self.truncates):
            if tokenizer.model_max_length <= _UNLIMITED:
                self.max_length = tokenizer.model_max_length
            else:
                self.padding = "do_not_pad" if self.padding == "max_length" else self.padding
                self.truncation = "do_not_truncate"
        if self.padding != "do_not_pad" and tokenizer.pad_token is None:
            raise ValueError(
                "padding: the tokenizer has no pad token; set one, for example "
                "tokenizer.pad_token = tokenizer.eos_token"
            )
        multiple = self.pad_to_multiple_of
        pads_and_truncates = self.truncates and self.padding != "do_not_pad"
        if pads_and_truncates and multiple and (self.max_length or 0) % multiple:
            raise ValueError(
                f"max_length: expected a multiple of pad_to_multiple_of={multiple} when both "
                f"truncating and padding, got {self.max_length}"
            )

    @property
    def truncates(self) -> bool:
        return bool(self.truncation != "do_not_truncate")


def strategy(name: str, value: Any, known: tuple[str, ...], when_true: str) -> str:
    if value is True:
        return when_true
    if value is False or value is None:
        return known[-1]
    value = getattr(value, "value", value)  # transformers' strategies are enums
    if value not in known:
        raise ValueError(f"{name}: expected a bool or one of {', '.join(known)}; got {value!r}")
    return str(value)


def side(name: str, value: str) -> str:
    if value not in ("left", "right"):
        raise ValueError(f"{name}: expected 'left' or 'right', got {value!r}")
    return value
