"""The tokenizer's files in a checkpoint folder: reading them, and writing them back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.json_file import read_json_object
from internvl_native.tokenization.added_tokens import AddedToken, as_added_token
from internvl_native.tokenization.special_tokens import SPECIAL_TOKENS_ATTRIBUTES

CONFIG = "tokenizer_config.json"
VOCABULARY = "tokenizer.model"


def checkpoint_folder(name_or_path: str | os.PathLike[str], keywords: dict[str, Any]) -> Path:
    """Return the folder of a checkpoint; takes the keywords about downloads out of ``keywords``."""
    old_token = keywords.pop("use_auth_token", None)
    folder = resolve_checkpoint(
        name_or_path,
        revision=keywords.pop("revision", None),
        cache_dir=keywords.pop("cache_dir", None),
        local_files_only=keywords.pop("local_files_only", False),
        token=keywords.pop("token", old_token),
        files=(VOCABULARY, "*.json"),
    )
    return folder / (keywords.pop("subfolder", None) or "")


def tokenizer_arguments(folder: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor's keywords from the folder's files; ``overrides`` win.

    ``added_tokens_decoder`` in tokenizer_config.json is complete where it exists; otherwise
    special_tokens_map.json, added_tokens.json and tokenizer.json are read, in this order.
    """
    arguments = read_json_object(folder / CONFIG)
    _check_config(arguments, folder / CONFIG)
    saved = {k: v for k, v in arguments.items() if k != "added_tokens_decoder"}
    arguments.update(overrides)
    try:
        if "added_tokens_decoder" in arguments:
            decoder = {
                int(index): as_added_token(token)
                for index, token in arguments["added_tokens_decoder"].items()
            }
            if min(decoder, default=0) < 0:
                raise ValueError(f"added_tokens_decoder: expected ids from 0, got {min(decoder)}")
            for attribute in set(SPECIAL_TOKENS_ATTRIBUTES[:-1]) & arguments.keys():
                _link(arguments, attribute, decoder)
        else:
            _merge_special_tokens(arguments, folder, overrides)
            decoder = _listed_tokens(arguments, folder)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: damaged token lists: {error}") from error
    return {
        **arguments,
        "added_tokens_decoder": decoder,
        "vocab_file": str(folder / VOCABULARY),
        "init_kwargs": saved,
    }


def _check_config(config: dict[str, Any], path: Path) -> None:
    for name in ("padding_side", "truncation_side"):
        if config.get(name, "left") not in ("left", "right"):
            raise CheckpointError(f"{path}: {name}: expected left or right, got {config[name]!r}")
    limit = config.get("model_max_length") or 0
    if not isinstance(limit, (int, float)) or limit < 0:
        raise CheckpointError(
            f"{path}: model_max_length: expected a positive number, got {limit!r}"
        )
    for attribute in set(SPECIAL_TOKENS_ATTRIBUTES) & config.keys():
        value = config[attribute]
        is_list = attribute == "additional_special_tokens"
        try:
            tokens = list(value or []) if is_list else [value] if value is not None else []
            for token in tokens:
                as_added_token(token)
        except TypeError as error:
            raise CheckpointError(f"{path}: {attribute}: {error}") from error


def _link(arguments: dict[str, Any], attribute: str, decoder: dict[int, AddedToken]) -> None:
    """Let a special token given as a string take the details of the added token it names."""
    by_content = {token.content: token for token in decoder.values()}
    value = arguments[attribute]
    content = value.get("content") if isinstance(value, dict) else value
    arguments[attribute] = by_content.get(str(content), value)


def _merge_special_tokens(
    arguments: dict[str, Any], folder: Path, overrides: dict[str, Any]
) -> None:
    path = folder / "special_tokens_map.json"
    if not path.exists():
        return
    for attribute, value in read_json_object(path).items():
        if overrides.get(attribute):
            continue
        if attribute == "additional_special_tokens":
            tokens = list(arguments.get(attribute) or [])
            value = tokens + [token for token in value if token not in tokens]
        arguments[attribute] = value


def _listed_tokens(arguments: dict[str, Any], folder: Path) -> dict[int, AddedToken]:
    decoder: dict[int, AddedToken] = {}
    path = folder / "added_tokens.json"
    if path.exists():
        special = set()
        for attribute in set(SPECIAL_TOKENS_ATTRIBUTES) & arguments.keys():
            value = arguments[attribute] or []
            tokens = value if isinstance(value, (list, tuple)) else [value]
            special |= {str(as_added_token(token)) for token in tokens}
        for content, index in read_json_object(path).items():
            decoder[int(index)] = AddedToken(content, special=content in special)
    path = folder / "tokenizer.json"
    if path.exists():
        for token in read_json_object(path).get("added_tokens", []):
            decoder[int(token["id"])] = as_added_token(token)
    return decoder


def write_tokenizer(tokenizer: Any, directory: Path, prefix: str | None) -> tuple[str, ...]:
    """Write tokenizer_config.json and its companions; returns the paths of all files."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{prefix}-" if prefix else ""
    config = dict(tokenizer.init_kwargs)
    for name in config.keys() | tokenizer.SAVED_ATTRIBUTES:
        if hasattr(tokenizer, name):
            config[name] = getattr(tokenizer, name)
    if tokenizer.chat_template is not None:
        config["chat_template"] = tokenizer.chat_template
    config.update(tokenizer.special_tokens_map)
    config["tokenizer_class"] = type(tokenizer).__name__
    config["added_tokens_decoder"] = {
        str(index): _fields(token) for index, token in tokenizer.added_tokens_decoder.items()
    }
    special_tokens = {
        attribute: [str(t) for t in value] if isinstance(value, list) else _as_written(value)
        for attribute, value in tokenizer.special_tokens_map_extended.items()
    }
    beyond = {
        token: index
        for token, index in tokenizer.added_tokens_encoder.items()
        if index >= tokenizer.vocab_size
    }
    contents = {
        CONFIG: config,
        "special_tokens_map.json": special_tokens,
        "added_tokens.json": beyond,
    }
    written = []
    for name, content in contents.items():
        path = directory / (stem + name)
        path.write_text(
            json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
        written.append(str(path))
    return (*written, *tokenizer.save_vocabulary(str(directory), prefix))


def _fields(token: AddedToken) -> dict[str, Any]:
    return dict(vars(token))


def _as_written(token: Any) -> Any:
    if isinstance(token, str):
        return token
    return {name: value for name, value in _fields(token).items() if name != "special"}
