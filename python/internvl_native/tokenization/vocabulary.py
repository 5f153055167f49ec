"""Text, tokens and ids: sentencepiece for the text, added tokens on top.

Behaves as ``PreTrainedTokenizer`` of transformers 4.37.2 (the "slow" tokenizers) does.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from re import Pattern
from typing import Any

import sentencepiece

from internvl_native._core import CheckpointError
from internvl_native.tokenization.added_tokens import (
    AddedToken,
    as_added_token,
    compile_splitter,
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
    # Release 0.2.3 writes to stderr about the NUL piece of InternLM2; 0.1.99 has no such function.
    if hasattr(sentencepiece, "SetMinLogLevel"):
        sentencepiece.SetMinLogLevel(2)
    processor = sentencepiece.SentencePieceProcessor(**(sp_model_kwargs or {}))
    try:
        loaded = bool(serialized) and processor.LoadFromSerializedProto(serialized + overrides)
    except RuntimeError as error:
        raise CheckpointError(f"{vocab_file}: damaged sentencepiece model: {error}") from error
    if not loaded:
        raise CheckpointError(f"{vocab_file}: not a sentencepiece model ({len(serialized)} bytes)")
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
        super().__init__(special_tokens)
        self._splitter: Pattern[str]
        missing = [
            token
            for token in self.all_special_tokens_extended
            if isinstance(token, AddedToken) or token not in self._added_tokens_encoder
        ]
        self._add_tokens(missing, special=True)

    # Vocabulary

    @property
    def vocab_size(self) -> int:
        """The number of sentencepiece pieces; ``len(tokenizer)`` counts added tokens as well."""
        return int(self.sp_model.get_piece_size())

    def __len__(self) -> int:
        hidden = sum(index < self.vocab_size for index in self._added_tokens_decoder)
        added = sum(self._visible_piece(token) is None for token in self._added_tokens_encoder)
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
            index = self._added_tokens_encoder.get(token.content)
            if index is None:
                index = self._visible_piece(token.content)
            if index is None:
                index, next_id = next_id, next_id + 1
            if token.special and token.content not in self.all_special_tokens:
                self._additional_special_tokens.append(token)
            self._added_tokens_decoder[index] = token
            self._added_tokens_encoder[token.content] = index
        self._splitter = compile_splitter(self._added_tokens_encoder)
        return next_id - first_id

    # Text to ids

    def tokenize(
        self, text: str, *, split_special_tokens: bool | None = None, **unused: Any
    ) -> list[str]:
        """Return the tokens of ``text`` as strings, without adding special tokens.

        ``split_special_tokens`` treats added tokens as plain text. Other keywords are reported
        and ignored, as the reference does. Raises ``ValueError`` for lone surrogates.
        """
        for name in sorted(unused.keys() - {"add_special_tokens", "is_split_into_words", "pair"}):
            warnings.warn(
                f"tokenize: keyword {name!r} is not known and has no effect", stacklevel=2
            )
        if self.split_special_tokens if split_special_tokens is None else split_special_tokens:
            return self._tokenize(text) if text else []
        parts = self._splitter.split(text)
        added = self._added_tokens_encoder
        if not all(token.is_plain for token in self._added_tokens_decoder.values()):
            parts = self._absorb_surroundings([part for part in parts if part])
        tokens: list[str] = []
        for part in parts:
            if part in added:
                tokens.append(part)
            elif part:
                tokens += self._tokenize(part)
        return tokens

    split_special_tokens = False

    def _absorb_surroundings(self, parts: list[str]) -> list[str]:
        """Apply ``lstrip``, ``rstrip`` and ``single_word`` of the added tokens among ``parts``."""
        for i, part in enumerate(parts):
            if part not in self._added_tokens_encoder:
                continue
            token = self._added_tokens_decoder[self._added_tokens_encoder[part]]
            left = parts[i - 1] if i > 0 else ""
            right = parts[i + 1] if i + 1 < len(parts) else ""
            if token.rstrip and right:
                parts[i + 1] = right.lstrip()
            if token.lstrip and left:
                parts[i - 1] = left.rstrip()
            if token.single_word and left and left[-1] != " ":
                parts[i - 1] += part
                parts[i] = ""
            elif token.single_word and right and right[0] != " ":
                parts[i + 1] = part + parts[i + 1]
                parts[i] = ""
        return parts

    def _tokenize(self, text: str) -> list[str]:
        return self._pieces(text)

    def _pieces(self, text: str) -> list[str]:
        try:
            pieces: list[str] = self.sp_model.encode(text, out_type=str)
        except (RuntimeError, UnicodeError):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"text: expected Unicode text, got a lone surrogate {text[error.start]!r} "
                    f"at character {error.start} of {text[:40]!r}"
                ) from None
            raise
        return pieces

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or the ids of a list; unknown tokens give the id of unk."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            index = self._added_tokens_encoder.get(tokens)
            return self.sp_model.piece_to_id(tokens) if index is None else index
        return [self.convert_tokens_to_ids(token) for token in tokens]

    # Ids to text

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or the tokens of a list of ids.

        ``skip_special_tokens`` leaves special tokens out of lists. Raises ``IndexError`` for an id
        outside the vocabulary.
        """
        ids = as_python(ids)
        if isinstance(ids, int):
            return self._token(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token(index) for index in map(int, ids) if index not in skipped]

    def _token(self, index: int) -> str:
        token = self._added_tokens_decoder.get(index)
        if token is not None:
            return token.content
        if not 0 <= index < self.vocab_size:
            raise IndexError(
                f"token id: expected 0 to {self.vocab_size - 1} or an added token's id, got {index}"
            )
        return str(self.sp_model.id_to_piece(index))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
        **unused: Any,
    ) -> str:
        """Return the text of ``token_ids`` (an id, a list, an array or a tensor).

        Added tokens beyond the sentencepiece vocabulary, and added tokens that are not special,
        stand apart; ``spaces_between_special_tokens`` joins with spaces there. Of a single id the
        reference decodes the characters of its token one by one, hence so does this.
        """
        tokens = self.convert_ids_to_tokens(token_ids, skip_special_tokens)
        apart = self._added_tokens_encoder.keys() - set(self.all_special_tokens)
        apart |= {
            token
            for token in self.additional_special_tokens
            if self.convert_tokens_to_ids(token) >= self.vocab_size
        }
        texts: list[str] = []
        run: list[str] = []
        for token in tokens:
            if token not in apart:
                run.append(token)
                continue
            if run:
                texts += filter(None, [self.convert_tokens_to_string(run)])
                run = []
            texts.append(token)
        if run:
            texts.append(self.convert_tokens_to_string(run))
        text = (" " if spaces_between_special_tokens else "").join(texts)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    clean_up_tokenization_spaces = False

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **options: Any,
    ) -> list[str]:
        """Return the text of every row of ids."""
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **options)
            for row in as_python(sequences)
        ]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        raise NotImplementedError

    def _join(self, tokens: Iterable[str], space_before: Any) -> str:
        """Decode runs of pieces between special tokens.

        ``space_before(i)`` says whether a special token at ``i`` that follows no other puts a
        space in front of the run before it, as the reference does.
        """
        special = set(self.all_special_tokens)
        text = ""
        run: list[str] = []
        after_special = False
        for i, token in enumerate(tokens):
            if token not in special:
                run.append(token)
                after_special = False
                continue
            if not after_special and space_before(i):
                text += " "
            text += self._decode_pieces(run) + token
            run = []
            after_special = True
        return text + self._decode_pieces(run)

    def _decode_pieces(self, pieces: list[str]) -> str:
        return str(self.sp_model.decode(pieces)) if pieces else ""

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces before English punctuation and contractions."""
        for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
            out_string = out_string.replace(spaced, spaced.strip(" "))
        return out_string
