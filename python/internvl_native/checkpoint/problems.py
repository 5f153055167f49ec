"""Several problems of one checkpoint in one error."""

from __future__ import annotations

import os
from collections.abc import Sequence

from internvl_native._core import CheckpointError

_MAX_LISTED = 8


def raise_problems(
    path: str | os.PathLike[str], summary: str, problems: Sequence[str], advice: str = ""
) -> None:
    """Raises a CheckpointError that counts the problems, lists the first and ends with the advice,
    if there are any problems."""
    if not problems:
        return
    more = len(problems) - _MAX_LISTED
    lines = [f"{os.fspath(path)}: {summary}: {len(problems)}", *problems[:_MAX_LISTED]]
    if more > 0:
        lines.append(f"... and {more} more")
    if advice:
        lines.append(advice)
    raise CheckpointError("\n".join(lines))
