"""A JSONL file that grows by a record for each image, and can be continued."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, Any]


def resume(path: Path, files: Collection[str], question: str) -> set[str]:
    """Which of `files` have an answer to `question` in `path`, which need not exist.

    Errors of the others are taken out of it, and so is a last line that was cut off.
    Raises ValueError, and leaves the file alone, if it holds something else.
    """
    text = path.read_bytes() if path.exists() else b""
    lines = text.splitlines(keepends=True)
    records = [(line, _parse(line, path, number)) for number, line in enumerate(lines, 1)
               if line.endswith(b"\n")]  # fmt: skip
    ours = [record["file"] in files and record["question"] == question for _, record in records]
    kept = [line for (line, record), mine in zip(records, ours) if "answer" in record or not mine]
    if len(kept) < len(lines):
        temporary = path.with_name(path.name + ".part")
        temporary.write_bytes(b"".join(kept))
        os.replace(temporary, path)
    return {
        record["file"] for (_, record), mine in zip(records, ours) if mine and "answer" in record
    }


def open_output(path: Path | None) -> AbstractContextManager[TextIO]:
    """The file to append to, or stdout."""
    if path is None:
        return nullcontext(sys.stdout)
    # Bytes of a file name that are no text are \udcXX in Python, and so JSON spells them.
    return path.open("a", encoding="utf-8", errors="backslashreplace")


def write(output: TextIO, records: Iterable[Record]) -> None:
    """Appends the records; a program that reads along sees them at once."""
    output.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    output.flush()


def _parse(line: bytes, path: Path, number: int) -> Record:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"file", "question"} <= record.keys():
        raise ValueError(
            f"{path}: line {number}: expected a record of an image, got {line[:60]!r}; "
            "is it another program's file?"
        )
    return record
