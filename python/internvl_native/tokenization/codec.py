"""Text to tokens and ids to text.

Behaves as ``PreTrainedTokenizer`` of transformers 4.37.2 (the "slow" tokenizers) does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from internvl_native.tokenization.added_tokens import compile_splitter
from internvl_native.tokenization.batch_encoding import as_python
from internvl_native.tokenization.vocabulary import Vocabulary


class Codec(Vocabulary):
    """Cuts texts into tokens, and joins tokens to text."""

    split_special_tokens = False
    clean_up_tokenization_spaces = False

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
        parts = compile_splitter(tuple(self._cut_out)).split(text)
        added = self._added_tokens_encoder
        if not all(token.is_plain for token in self._added_tokens_decoder.values()):
            parts = self._absorb_surroundings([part for part in parts if part])
        tokens: list[str] = []
        for part in filter(None, parts):
            if part in added:
                tokens.append(part)
            else:
                tokens += self._tokenize(part)
        return tokens

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
        except (RuntimeError, TypeError, UnicodeError):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"text: expected Unicode text, got a lone surrogate {text[error.start]!r} "
                    f"at character {error.start} of {text[:40]!r}"
                ) from None
            raise
        return pieces

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
