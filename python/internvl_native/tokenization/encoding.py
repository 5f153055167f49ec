"""From texts to ids: ``tokenizer(...)``, ``encode`` and their batch forms."""

from __future__ import annotations

import dataclasses
from typing import Any

from internvl_native.tokenization.batch_encoding import BatchEncoding
from internvl_native.tokenization.model_inputs import ModelInputs
from internvl_native.tokenization.options import EncodeOptions


class Encoder(ModelInputs):
    """Turns texts into ``BatchEncoding``."""

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        **options: Any,
    ) -> BatchEncoding:
        """Tokenize a text, a list of texts, or words with ``is_split_into_words=True``.

        Args:
            text, text_pair: what to encode, and optionally its second sequence(s).
            text_target, text_pair_target: encoded alike, into ``labels``.
            add_special_tokens: put bos (and eos) around the ids.
            padding: ``True``/``"longest"``, ``"max_length"`` or ``False``; ``padding_side``
                ("left" or "right") overrides the tokenizer's, ``pad_to_multiple_of`` rounds up.
            truncation: ``True``/``"longest_first"``, ``"only_first"``, ``"only_second"`` or
                ``False``, to ``max_length`` (default ``model_max_length``) on ``truncation_side``.
            return_tensors: ``None`` for lists, ``"np"``, or ``"pt"`` (needs torch).
            return_attention_mask, return_token_type_ids, return_special_tokens_mask,
            return_length, return_overflowing_tokens (with ``stride``): which outputs to add.

        Returns a ``BatchEncoding`` with rows of ids in ``input_ids``. Raises ``ValueError`` for
        texts of another type and for options that contradict each other.
        """
        options["add_special_tokens"] = add_special_tokens
        if text is None and text_target is None:
            raise ValueError("text: expected a str or a list of str, got None")
        if text is None:
            return self._encode_any(text_target, text_pair_target, options)
        encoded = self._encode_any(text, text_pair, dict(options))
        if text_target is not None:
            labels = self._encode_any(text_target, text_pair_target, options)
            encoded["labels"] = labels["input_ids"]
        return encoded

    def _encode_any(self, text: Any, text_pair: Any, options: dict[str, Any]) -> BatchEncoding:
        for name, value in (("text", text), ("text_pair", text_pair)):
            if not (_is_text(value) or (name == "text_pair" and value is None)):
                raise ValueError(
                    f"{name}: expected str, a list of str, or a list of lists of str; "
                    f"got {type(value).__name__}"
                )
        is_sequence = isinstance(text, (list, tuple))
        if options.get("is_split_into_words"):
            is_batch = is_sequence and len(text) > 0 and isinstance(text[0], (list, tuple))
        else:
            is_batch = is_sequence
        if not is_batch:
            return self.encode_plus(text, text_pair, **options)
        if text_pair is None:
            return self.batch_encode_plus(text, **options)
        if isinstance(text_pair, str):
            raise TypeError("text_pair: expected a list as long as text, got str")
        if len(text) != len(text_pair):
            raise ValueError(
                f"text_pair: expected {len(text)} texts as in text, got {len(text_pair)}"
            )
        return self.batch_encode_plus(list(zip(text, text_pair)), **options)

    def encode(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> Any:
        """Return the ids of one text (or pair): a list, or ``(1, length)`` with tensors."""
        options["add_special_tokens"] = add_special_tokens
        return self.encode_plus(text, text_pair, **options)["input_ids"]

    def encode_plus(
        self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
    ) -> BatchEncoding:
        """Encode one text, list of tokens or list of ids; options as in ``__call__``."""
        options["add_special_tokens"] = add_special_tokens
        settings = EncodeOptions.of(self, options)
        first = self._ids(text, settings)
        second = None if text_pair is None else self._ids(text_pair, settings)
        return self._finish(first, second, settings, prepend_batch_axis=True)

    def batch_encode_plus(
        self, batch_text_or_text_pairs: Any, add_special_tokens: bool = True, **options: Any
    ) -> BatchEncoding:
        """Encode a list of texts or of pairs; options as in ``__call__``."""
        options["add_special_tokens"] = add_special_tokens
        settings = EncodeOptions.of(self, options)
        each = dataclasses.replace(
            settings, padding="do_not_pad", return_attention_mask=False, return_tensors=None
        )
        rows: dict[str, list[Any]] = {}
        for item in batch_text_or_text_pairs:
            first, second = _split_pair(item, settings.is_split_into_words)
            second_ids = None if second is None else self._ids(second, settings)
            row = self._finish(self._ids(first, settings), second_ids, each)
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
        return self._pad_batch(rows, settings)

    def _ids(self, text: Any, options: EncodeOptions) -> list[int]:
        """Return the ids of a text, of words, of tokens, or the ids that already are there."""
        split = options.split_special_tokens
        if isinstance(text, str):
            return list(self.convert_tokens_to_ids(self.tokenize(text, split_special_tokens=split)))
        if isinstance(text, (list, tuple)) and text:
            if isinstance(text[0], str) and options.is_split_into_words:
                words = (self.tokenize(word, split_special_tokens=split) for word in text)
                text = [token for tokens in words for token in tokens]
            if not text or isinstance(text[0], str):
                return list(self.convert_tokens_to_ids(text))
            if isinstance(text[0], int):
                return list(text)
        raise ValueError(
            f"text: expected a str, or a non-empty list of str or of ids, got {text!r:.80}"
        )


def _is_text(value: Any) -> bool:
    """Return whether ``value`` is a str, a list of str or a list of lists of str."""
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
        if isinstance(value, (list, tuple)) and value:
            value = value[0]
    return isinstance(value, str) or (isinstance(value, (list, tuple)) and not value)


def _split_pair(item: Any, is_split_into_words: bool) -> tuple[Any, Any]:
    """Return the first and the second text (or None) of one batch entry."""
    if not isinstance(item, (list, tuple)):
        return item, None
    if is_split_into_words and not (item and isinstance(item[0], (list, tuple))):
        return item, None
    if len(item) != 2:
        raise ValueError(f"text: expected a str or a pair in each batch entry, got {item!r:.80}")
    return item[0], item[1]
