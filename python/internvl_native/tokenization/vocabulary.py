"""Tokens and ids: sentencepiece's pieces, and the added tokens on top of them.

Behaves as ``PreTrainedTokenizer`` of transformers 4.37.2 (the "slow" tokenizers) does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece

from internvl_native._core import CheckpointError
from internvl_native.arguments import integer
from internvl_native.git_lfs import refuse_pointer
from internvl_native.tokenization.added_tokens import (
    AddedToken,
    as_added_token,
)
from internvl_native.tokenization.batch_encoding import as_python
from internvl_native.tokenization.special_tokens import SPECIAL_TOKENS_ATTRIBUTES, SpecialTokens


def load_sentencepiece(
    vocab_file: str | os.PathLike[str],
    sp_model_kwargs: dict[str, Any] | None,
    overrides: bytes = b"",
) -> Any:
    """Return the sentencepiece processor of ``tokenizer.model``.

    ``overrides`` is a serialized partial ``ModelProto``: protobuf messages merge when they are
    concatenated. Raises ``CheckpointError`` naming the file when it is missing or damaged.
    """
    try:
        serialized = Path(vocab_file).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{vocab_file}: cannot read the sentencepiece model: {error}"
        ) from error
    refuse_pointer(vocab_file, serialized)
    # Release 0.2.3 writes to stderr about the NUL piece of InternLM2; 0.1.99 has no such function.
    if hasattr(sentencepiece, "SetMinLogLevel"):
        sentencepiece.SetMinLogLevel(2)
    processor = sentencepiece.SentencePieceProcessor(**(sp_model_kwargs or {}))
    try:
        if not serialized:
            raise ValueError("the file is empty")
        processor.LoadFromSerializedProto(serialized + overrides)
        processor.id_to_piece(list(range(processor.get_piece_size())))  # every piece is Unicode
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{vocab_file}: sentencepiece {sentencepiece.__version__} refuses the model: {error}"
        ) from error
    return processor


class Vocabulary(SpecialTokens):
    """The sentencepiece model and the added tokens, in both directions."""

    def __init__(
        self,
        sp_model: Any,
        special_tokens: dict[str, Any],
        added_tokens_decoder: dict[int, AddedToken],
    ) -> None:
        self.sp_model = sp_model
        self._added_tokens_decoder = dict(added_tokens_decoder)
        self._added_tokens_encoder = {
            token.content: index for index, token in self._added_tokens_decoder.items()
        }
        self._cut_out: dict[str, int] = {}  # what texts are cut at: tokens that are or were added
        super().__init__(special_tokens)
        missing = [
            token
            for token in self.all_special_tokens_extended
            if isinstance(token, AddedToken) or token not in self._added_tokens_encoder
        ]
        self._add_tokens(missing, special=True)

    @property
    def vocab_size(self) -> int:
        """The number of sentencepiece pieces; ``len(tokenizer)`` counts added tokens as well."""
        return int(self.sp_model.get_piece_size())

    def __len__(self) -> int:
        hidden = sum(index < self.vocab_size for index in self._added_tokens_decoder)
        added = sum(self._visible_piece(token) is None for token in self.added_tokens_encoder)
        return self.vocab_size - hidden + added

    def _visible_piece(self, token: str) -> int | None:
        """Return the id of the piece ``token`` unless an added token took that id over."""
        index = self.sp_model.piece_to_id(token)
        visible = (
            index not in self._added_tokens_decoder and self.sp_model.id_to_piece(index) == token
        )
        return index if visible else None

    def get_vocab(self) -> dict[str, int]:
        """Return every token with its id; pieces whose id an added token took over are left out."""
        tokens = self.convert_ids_to_tokens(range(self.vocab_size))
        return {**{token: i for i, token in enumerate(tokens)}, **self.added_tokens_encoder}

    def get_added_vocab(self) -> dict[str, int]:
        """Return the added tokens with their ids."""
        return dict(self._added_tokens_encoder)

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The added tokens with their ids, by id."""
        return {str(token): index for index, token in self.added_tokens_decoder.items()}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id, in the order of the ids."""
        return dict(sorted(self._added_tokens_decoder.items()))

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens (strings or ``AddedToken``) and return how many got a new id."""
        if not new_tokens:
            return 0
        tokens = new_tokens if isinstance(new_tokens, (list, tuple)) else [new_tokens]
        return self._add_tokens(tokens, special=special_tokens)

    def add_special_tokens(
        self, special_tokens_dict: dict[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by attribute, add them, and return how many got a new id."""
        added: list[AddedToken] = []
        for attribute, value in special_tokens_dict.items():
            if attribute not in SPECIAL_TOKENS_ATTRIBUTES:
                known = ", ".join(SPECIAL_TOKENS_ATTRIBUTES)
                raise ValueError(
                    f"special_tokens_dict: expected keys among {known}; got {attribute!r}"
                )
            if attribute != "additional_special_tokens":
                token = as_added_token(value, special=True)
                setattr(self, attribute, token)
                added.append(token)
                continue
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"additional_special_tokens: expected a list, got {value!r}")
            tokens = [as_added_token(token, special=True) for token in value]
            if replace_additional_special_tokens and tokens:
                self.additional_special_tokens = tokens
            else:
                tokens = [t for t in tokens if str(t) not in self.additional_special_tokens]
                self._additional_special_tokens += tokens
            added += tokens
        return self._add_tokens(added, special=True)

    def _add_tokens(self, tokens: Iterable[Any], special: bool) -> int:
        """As in the reference, new ids count up from ``len(self)``: where added tokens left a gap,
        they take over ids of others, which texts are then cut at only if they were before."""
        known = self.added_tokens_encoder
        next_id = len(self)
        first_id = next_id
        for token in tokens:
            if isinstance(token, str):
                if token in self._added_tokens_encoder:
                    continue
                token = AddedToken(token, special=special or token in self.all_special_tokens)
            else:
                token = as_added_token(token)
                if special:
                    token.special = True
            if not token.content:
                continue
            index = known.get(token.content)
            if index is None:
                index = self._visible_piece(token.content)
            if index is None:
                index, next_id = next_id, next_id + 1
            known[token.content] = index
            if token.special and token.content not in self.all_special_tokens:
                self._additional_special_tokens.append(token)
            self._added_tokens_decoder[index] = token
            self._added_tokens_encoder[token.content] = index
        self._cut_out.update(self.added_tokens_encoder)
        return next_id - first_id

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or the ids of a list; unknown tokens give the id of unk."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            index = self._added_tokens_encoder.get(tokens)
            return self.sp_model.piece_to_id(tokens) if index is None else index
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or the tokens of a list of ids.

        ``skip_special_tokens`` leaves special tokens out of lists. Raises ``IndexError`` for an id
        outside the vocabulary.
        """
        ids = as_python(ids)
        if isinstance(ids, int):
            return self._token(ids)
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"token_ids: expected an id or a list of ids, got {ids!r:.100}")
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        indices = (integer("token_ids", index) for index in ids)
        return [self._token(index) for index in indices if index not in skipped]

    def _token(self, index: int) -> str:
        token = self._added_tokens_decoder.get(index)
        if token is not None:
            return token.content
        if not 0 <= index < self.vocab_size:
            raise IndexError(
                f"token id: expected 0 to {self.vocab_size - 1} or an added token's id, got {index}"
            )
        return str(self.sp_model.id_to_piece(index))
