"""From ids to model inputs: special tokens, truncation, padding.

Behaves as the slow tokenizers of transformers 4.37.2 do, without their messages about lengths.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from internvl_native.tokenization.batch_encoding import BatchEncoding, as_python
from internvl_native.tokenization.codec import Codec
from internvl_native.tokenization.options import TRUNCATIONS, EncodeOptions, side, strategy


class ModelInputs(Codec):
    """Builds the rows that a model reads."""

    model_input_names: list[str]
    padding_side = "right"
    truncation_side = "right"
    model_max_length: int = 10**30

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        raise NotImplementedError

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        raise NotImplementedError

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for special tokens and 0 for others."""
        if not already_has_special_tokens:
            return self._special_tokens_mask(token_ids_0, token_ids_1)
        if token_ids_1 is not None:
            raise ValueError("token_ids_1: expected None with already_has_special_tokens=True")
        special = set(self.all_special_ids)
        return [int(index in special) for index in token_ids_0]

    def _special_tokens_mask(self, first: list[int], second: list[int] | None) -> list[int]:
        raise NotImplementedError

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens are put around one sequence or a pair."""
        return len(self.build_inputs_with_special_tokens([], [] if pair else None))

    @property
    def max_len_single_sentence(self) -> int:
        """``model_max_length`` without the special tokens around one sequence."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """``model_max_length`` without the special tokens around a pair."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def prepare_for_model(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        prepend_batch_axis: bool = False,
        **options: Any,
    ) -> BatchEncoding:
        """Truncate ids, put special tokens around them and pad; options as in ``__call__``."""
        options["add_special_tokens"] = add_special_tokens
        return self._finish(ids, pair_ids, EncodeOptions.of(self, options), prepend_batch_axis)

    def _finish(
        self,
        ids: list[int],
        pair_ids: list[int] | None,
        options: EncodeOptions,
        prepend_batch_axis: bool = False,
    ) -> BatchEncoding:
        special = options.add_special_tokens
        with_types = options.return_token_type_ids
        if with_types and not special:
            raise ValueError("return_token_type_ids: expected add_special_tokens=True with it")
        if with_types is None:
            with_types = "token_type_ids" in self.model_input_names
        encoded: dict[str, Any] = {}
        total = len(ids) + len(pair_ids or [])
        total += self.num_special_tokens_to_add(pair_ids is not None) if special else 0
        limit = options.max_length
        overflowing: list[int] = []
        if options.return_overflowing_tokens:
            if limit is None:
                raise ValueError("return_overflowing_tokens: expected max_length with it")
            if pair_ids is not None and options.truncation == "longest_first":
                raise ValueError(
                    "return_overflowing_tokens: expected truncation 'only_first' or 'only_second' "
                    "for a pair, got 'longest_first'"
                )
        if options.truncates and limit and total > limit:
            ids, pair_ids, overflowing = self.truncate_sequences(
                ids, pair_ids, total - limit, options.truncation, options.stride
            )
        if options.return_overflowing_tokens and limit is not None:
            encoded["overflowing_tokens"] = overflowing
            encoded["num_truncated_tokens"] = total - limit
        if special:
            encoded["input_ids"] = self.build_inputs_with_special_tokens(ids, pair_ids)
        else:
            encoded["input_ids"] = ids + (pair_ids or [])
        if with_types:
            encoded["token_type_ids"] = (
                self.create_token_type_ids_from_sequences(ids, pair_ids)
                if special
                else [0] * len(encoded["input_ids"])
            )
        if options.return_special_tokens_mask:
            encoded["special_tokens_mask"] = (
                self.get_special_tokens_mask(ids, pair_ids)
                if special
                else [0] * len(encoded["input_ids"])
            )
        count = len(encoded["input_ids"])
        length = count if options.padding == "longest" else limit
        # The reference leaves an empty row alone.
        encoded = self._pad_one(encoded, options, length if count else None)
        if options.return_length:
            encoded["length"] = len(encoded["input_ids"])
        return BatchEncoding(encoded, options.return_tensors, prepend_batch_axis)

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: Any = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Return both sequences shortened on ``truncation_side`` and the tokens cut off.

        A sequence with no more than ``num_tokens_to_remove`` tokens is left whole, as in the
        reference, and a warning says so. A pair cut by "longest_first" reports no cut tokens.
        """
        chosen = strategy("truncation", truncation_strategy, TRUNCATIONS, "longest_first")
        excess = num_tokens_to_remove
        if excess <= 0 or chosen == "do_not_truncate":
            return ids, pair_ids, []
        if chosen == "longest_first" and pair_ids is not None:
            # The longer one is cut to the length of the other, then both alternate.
            difference = min(abs(len(pair_ids) - len(ids)), excess)
            half = (excess - difference) // 2
            first_excess = half + (difference if len(ids) > len(pair_ids) else 0)
            second_excess = excess - first_excess
            return self._cut(ids, first_excess)[0], self._cut(pair_ids, second_excess)[0], []
        if chosen != "only_second":
            cut = ids
        elif pair_ids is None:
            return ids, pair_ids, []
        else:
            cut = pair_ids
        if len(cut) <= excess:
            warnings.warn(
                f"truncation={chosen!r}: {excess} tokens are too many, but the sequence that may "
                f"be cut has only {len(cut)}; it is left whole",
                stacklevel=2,
            )
            return ids, pair_ids, []
        kept, overflowing = self._cut(cut, excess, stride)
        if chosen == "only_second":
            return ids, kept, overflowing
        return kept, pair_ids, overflowing

    def _cut(self, ids: list[int], count: int, stride: int = 0) -> tuple[list[int], list[int]]:
        window = min(len(ids), stride + count)
        if side("truncation_side", self.truncation_side) == "left":
            return ids[count:], ids[:window]
        return ids[: max(len(ids) - count, 0)], ids[len(ids) - window :]

    def pad(
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
        padding_side: str | None = None,
    ) -> BatchEncoding:
        """Pad one encoding, a batch, or a list of encodings to a common length."""
        if isinstance(encoded_inputs, (list, tuple)):
            for row in encoded_inputs:
                if not isinstance(row, Mapping):
                    raise ValueError(f"encoded_inputs: expected encodings, got {row!r:.100}")
            names = encoded_inputs[0].keys() if encoded_inputs else ()
            encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in names}
        if not isinstance(encoded_inputs, Mapping):
            raise ValueError(
                f"encoded_inputs: expected an encoding, got {type(encoded_inputs).__name__}"
            )
        ids = encoded_inputs.get("input_ids")
        if return_tensors is None and ids is not None and len(ids) and hasattr(ids[0], "tolist"):
            return_tensors = "np" if type(ids[0]).__module__ == "numpy" else "pt"
        options = EncodeOptions(
            padding=padding,
            truncation=False,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
            padding_side=padding_side,
        )
        options.resolve(self)
        return self._pad_batch({k: as_python(v) for k, v in encoded_inputs.items()}, options)

    def _pad_batch(self, batch: dict[str, Any], options: EncodeOptions) -> BatchEncoding:
        if "input_ids" not in batch:
            raise ValueError(f"expected at least one text or input_ids, got {list(batch)}")
        rows = batch["input_ids"]
        if not rows:
            if options.return_attention_mask:
                batch["attention_mask"] = []
            return BatchEncoding(batch)
        if not isinstance(rows[0], (list, tuple)):
            length = len(rows) if options.padding == "longest" else options.max_length
            return BatchEncoding(self._pad_one(batch, options, length), options.return_tensors)
        for name, values in batch.items():
            if len(values) != len(rows):
                raise ValueError(
                    f"{name}: expected {len(rows)} rows as in input_ids, got {len(values)}"
                )
        longest = max(map(len, rows))
        length = longest if options.padding == "longest" else options.max_length
        padded: dict[str, list[Any]] = {}
        for i in range(len(rows)):
            row = self._pad_one(
                {name: values[i] for name, values in batch.items()}, options, length
            )
            for name, value in row.items():
                padded.setdefault(name, []).append(value)
        return BatchEncoding(padded, options.return_tensors)

    def _pad_one(
        self, encoded: dict[str, Any], options: EncodeOptions, length: int | None
    ) -> dict[str, Any]:
        """Return the row with its attention mask, padded to ``length`` if it is shorter."""
        count = len(encoded["input_ids"])
        with_mask = options.return_attention_mask
        if with_mask is None:
            with_mask = "attention_mask" in self.model_input_names
        if with_mask:
            encoded.setdefault("attention_mask", [1] * count)
        multiple = options.pad_to_multiple_of
        if length is not None and multiple:
            length = -(-length // multiple) * multiple
        if options.padding == "do_not_pad" or length is None or length <= count:
            return encoded
        fillers = {
            "attention_mask": 0,
            "token_type_ids": self.pad_token_type_id,
            "special_tokens_mask": 1,
            "input_ids": self.pad_token_id,
        }
        for name in fillers.keys() & encoded.keys():
            filler = [fillers[name]] * (length - count)
            left = options.padding_side == "left"
            encoded[name] = filler + encoded[name] if left else encoded[name] + filler
        return encoded
