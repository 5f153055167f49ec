"""Files of a repository cloned without Git LFS: a few lines of text in place of the data."""

from __future__ import annotations

import os

from internvl_native._core import CheckpointError

_BEGIN = b"version https://git-lfs"


def refuse_pointer(path: str | os.PathLike[str], begin: bytes) -> None:
    """Raises CheckpointError, saying what to do, if `begin`, the first bytes of the file (8 or
    more), are those of a pointer."""
    if len(begin) >= 8 and _BEGIN.startswith(begin[: len(_BEGIN)]):
        raise CheckpointError(
            f"{os.fspath(path)}: expected the file itself, got a pointer of Git LFS: fetch it with "
            "git lfs pull, or with huggingface-cli download"
        )
