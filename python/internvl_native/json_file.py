"""Reading the JSON files of a checkpoint."""

from __future__ import annotations

import json
import os
from typing import Any

from internvl_native._core import CheckpointError


def read_json_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in the JSON file `path`.

    Raises CheckpointError naming the file when it cannot be read, is not UTF-8 or not JSON, or
    holds something other than an object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise CheckpointError(f"{os.fspath(path)}: cannot read the file: there is none") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{os.fspath(path)}: cannot read the file: {error}") from error
    return parse_json_object(text, os.fspath(path))


def parse_json_object(text: str, source: str, **hooks: Any) -> dict[str, Any]:
    """The object in `text`, which was read from `source`; `hooks` go to `json.loads`."""
    try:
        value = json.loads(text, **hooks)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{source}: expected valid JSON, got an error: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{source}: expected a JSON object, got {type(value).__name__}")
    return value
