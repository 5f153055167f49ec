"""The tokenizers of the supported language models, and how a checkpoint names its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from internvl_native import arguments, html
from internvl_native.tokenization import files
from internvl_native.tokenization.chat_template import CHATML, render_chat
from internvl_native.tokenization.encoding import Encoder
from internvl_native.tokenization.special_tokens import SPECIAL_TOKENS_ATTRIBUTES
from internvl_native.tokenization.vocabulary import load_sentencepiece


class PreTrainedTokenizer(Encoder):
    """A sentencepiece tokenizer of a checkpoint: text in, ids out, and back."""

    is_fast = False
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": files.VOCABULARY}
    default_chat_template: ClassVar[str | None] = None
    SAVED_ATTRIBUTES: ClassVar[set[str]] = {
        "add_bos_token",
        "add_eos_token",
        "clean_up_tokenization_spaces",
        "model_max_length",
    }

    def __init__(
        self,
        vocab_file: str | os.PathLike[str],
        *,
        sp_model_kwargs: dict[str, Any] | None = None,
        add_bos_token: bool = True,
        add_eos_token: bool = False,
        added_tokens_decoder: dict[int, Any] | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        clean_up_tokenization_spaces: bool = False,
        split_special_tokens: bool = False,
        chat_template: str | None = None,
        model_input_names: list[str] | None = None,
        name_or_path: str = "",
        init_kwargs: dict[str, Any] | None = None,
        **special_tokens: Any,
    ) -> None:
        """Build a tokenizer from ``tokenizer.model``; keywords as in tokenizer_config.json.

        Raises ``CheckpointError`` for a missing or damaged file, ``ValueError`` for a side that
        is neither "left" nor "right". Keywords that mean nothing here are accepted and ignored,
        as in the reference.
        """
        for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
            if side not in ("left", "right"):
                raise ValueError(f"{name}: expected 'left' or 'right', got {side!r}")
        self.vocab_file = os.fspath(vocab_file)
        self.add_bos_token = add_bos_token
        self.add_eos_token = add_eos_token
        self.model_max_length = 10**30 if model_max_length is None else model_max_length
        self.padding_side = padding_side
        self.truncation_side = truncation_side
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.chat_template = chat_template
        self.model_input_names = list(model_input_names or ("input_ids", "attention_mask"))
        self.name_or_path = name_or_path
        self.init_kwargs = init_kwargs or {}
        self.sp_model_kwargs = sp_model_kwargs or {}
        self.deprecation_warnings: dict[str, bool] = {}  # training libraries silence some in it
        super().__init__(
            load_sentencepiece(vocab_file, sp_model_kwargs, self._model_overrides()),
            {k: special_tokens[k] for k in SPECIAL_TOKENS_ATTRIBUTES if k in special_tokens},
            added_tokens_decoder or {},
        )

    def _model_overrides(self) -> bytes:
        return b""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **keywords: Any
    ) -> PreTrainedTokenizer:
        """Load the tokenizer of a checkpoint folder or hub name; see ``AutoTokenizer``."""
        folder = files.checkpoint_folder(pretrained_model_name_or_path, keywords)
        return cls._from_folder(folder, str(pretrained_model_name_or_path), keywords)

    @classmethod
    def _from_folder(
        cls, folder: Path, name_or_path: str, keywords: dict[str, Any]
    ) -> PreTrainedTokenizer:
        arguments = files.tokenizer_arguments(folder, keywords)
        return cls(**{**arguments, "name_or_path": name_or_path})

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **unused: Any,
    ) -> tuple[str, ...]:
        """Write the tokenizer's files so that this package and transformers can load them.

        Returns the paths written. Raises ``ValueError`` for ``push_to_hub=True`` and for
        ``legacy_format=False``, which only fast tokenizers have.
        """
        if push_to_hub:
            raise ValueError("push_to_hub: expected False; upload the folder with huggingface_hub")
        if legacy_format is False:
            raise ValueError(
                "legacy_format: expected True or None, only fast tokenizers take False"
            )
        folder = arguments.folder("save_directory", save_directory)
        return files.write_tokenizer(self, folder, filename_prefix)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str]:
        """Write ``tokenizer.model`` into an existing folder and return its path."""
        stem = f"{filename_prefix}-" if filename_prefix else ""
        path = Path(save_directory) / (stem + files.VOCABULARY)
        source = Path(self.vocab_file)
        content = (
            source.read_bytes() if source.is_file() else self.sp_model.serialized_model_proto()
        )
        path.write_bytes(content)
        return (str(path),)

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        padding: Any = False,
        return_dict: bool = False,
        **options: Any,
    ) -> Any:
        """Render messages and, unless ``tokenize=False``, return their ids.

        Args:
            conversation: dicts with ``role`` and ``content``, or an object with ``messages``.
            chat_template: instead of the tokenizer's own (InternLM2 without one: ChatML).
            options: as for ``tokenizer(...)``; special tokens are not added.

        Raises ``ValueError`` when no template is known, ``ImportError`` when jinja2 is needed.
        """
        messages = getattr(conversation, "messages", conversation)
        template = chat_template or self.chat_template or self.default_chat_template
        if template is None:
            raise ValueError("chat_template: the checkpoint has none, expected one as an argument")
        if isinstance(messages, (str, Mapping)) or not isinstance(messages, Iterable):
            raise TypeError(
                f"conversation: expected a list of messages, got {arguments.kind(messages)}"
            )
        arguments.text("chat_template", template)
        text = render_chat(template, list(messages), add_generation_prompt, self.special_tokens_map)
        if not tokenize:
            return text
        encoded = self.encode_plus(
            text,
            add_special_tokens=False,
            padding="max_length" if padding is True else padding,
            **options,
        )
        return encoded if return_dict else encoded["input_ids"]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
            f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )

    def _repr_html_(self) -> str:
        return html.tokenizer(self)


class InternLM2Tokenizer(PreTrainedTokenizer):
    """Source: ``tokenization_internlm2.py`` of OpenGVLab/InternVL."""

    default_chat_template = CHATML

    def __init__(self, vocab_file: str | os.PathLike[str], **keywords: Any) -> None:
        """See ``PreTrainedTokenizer``; the pad token defaults to ``</s>``."""
        tokens = {
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "</s>",
        }
        super().__init__(vocab_file, **{**tokens, **keywords})

    @property
    def bos_token_id(self) -> int:
        """The bos id of the sentencepiece model, whatever ``bos_token`` is set to."""
        return int(self.sp_model.bos_id())

    @property
    def eos_token_id(self) -> int:
        """The eos id of the sentencepiece model, whatever ``eos_token`` is set to."""
        return int(self.sp_model.eos_id())

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return the text of ``tokens``, cleaned of spaces before punctuation."""
        return self.clean_up_tokenization(self._join(tokens, lambda i: True))

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return bos, the ids of one or two sequences, and eos if ``add_eos_token``."""
        bos = [self.bos_token_id] if self.add_bos_token else []
        eos = [self.eos_token_id] if self.add_eos_token else []
        return bos + token_ids_0 + (token_ids_1 or []) + eos

    def _special_tokens_mask(self, first: list[int], second: list[int] | None) -> list[int]:
        # As the reference has it: for [bos] ids [eos], whether or not these are added.
        mask = [1] + [0] * len(first) + [1]
        return mask if second is None else mask + [1] + [0] * len(second) + [1]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return zeros: for each sequence its length and one more, as the reference counts."""
        second = 0 if token_ids_1 is None else len(token_ids_1) + 1
        return [0] * (len(token_ids_0) + 1 + second)


_UNDERLINE = "▁"


class LlamaTokenizer(PreTrainedTokenizer):
    """Source: ``LlamaTokenizer`` (the slow one) of transformers 4.37.2."""

    SAVED_ATTRIBUTES = PreTrainedTokenizer.SAVED_ATTRIBUTES | {"legacy"}

    def __init__(
        self, vocab_file: str | os.PathLike[str], *, legacy: bool | None = None, **keywords: Any
    ) -> None:
        """See ``PreTrainedTokenizer``; there is no pad token unless one is given.

        ``legacy=False`` puts the leading space itself instead of leaving it to sentencepiece, so
        that text after a special token gets none.
        """
        self.legacy = True if legacy is None else legacy
        tokens = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
        super().__init__(vocab_file, **{**tokens, **keywords})

    def _model_overrides(self) -> bytes:
        # ModelProto.normalizer_spec (field 3) { add_dummy_prefix (field 3): false }
        return b"" if self.legacy else b"\x1a\x02\x18\x00"

    def tokenize(
        self, text: str, *, split_special_tokens: bool | None = None, **unused: Any
    ) -> list[str]:
        """See ``PreTrainedTokenizer.tokenize``."""
        unused["split_special_tokens"] = split_special_tokens
        if self.legacy or not text:
            return super().tokenize(text, **unused)
        tokens = super().tokenize(_UNDERLINE + text.replace(_UNDERLINE, " "), **unused)
        if tokens[:1] == [_UNDERLINE] and len(tokens) > 1 and tokens[1] in self.all_special_tokens:
            return tokens[1:]
        return tokens

    def _tokenize(self, text: str) -> list[str]:
        pieces = self._pieces(text)
        if self.legacy or not text.startswith((_UNDERLINE, " ")):
            return pieces
        # Without its dummy prefix sentencepiece strips leading spaces: shield them by a token.
        shield = str(self.unk_token)
        length = len(self._pieces(shield))
        pieces = self._pieces(shield + text)
        return pieces[length:] if len(pieces) >= length else pieces

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return the text of ``tokens``, without the space in front of the first word."""
        tokens = list(tokens)
        if tokens and tokens[0].startswith(_UNDERLINE):
            tokens[0] = tokens[0][1:]
        return self._join(tokens, lambda i: i > 0 and self.legacy)

    def _around(self) -> tuple[list[int], list[int]]:
        return self._added("bos", self.add_bos_token), self._added("eos", self.add_eos_token)

    def _added(self, role: str, is_added: bool) -> list[int]:
        index: int | None = getattr(self, f"{role}_token_id") if is_added else None
        if is_added and index is None:
            raise ValueError(
                f"add_{role}_token: expected False for a tokenizer without {role}_token, got True"
            )
        return [] if index is None else [index]

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return each sequence between bos and eos, as far as these are to be added."""
        bos, eos = self._around()
        first = bos + token_ids_0 + eos
        return first if token_ids_1 is None else first + bos + token_ids_1 + eos

    def _special_tokens_mask(self, first: list[int], second: list[int] | None) -> list[int]:
        bos, eos = ([1] * len(ids) for ids in self._around())
        mask = bos + [0] * len(first) + eos
        return mask if second is None else mask + bos + [0] * len(second) + eos

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """Return 0 for the first sequence and 1 for the second, special tokens included."""
        extra = sum(map(len, self._around()))
        first = [0] * (len(token_ids_0) + extra)
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + extra)
