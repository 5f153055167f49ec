"""The bar that shows how far the loading of weights is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

_TRUE = {"1", "ON", "YES", "TRUE"}
_DELAY = 1.0
"""Seconds: what loads faster shows nothing."""


@contextmanager
def loading_bar(total: int) -> Iterator[Callable[[int], None] | None]:
    """Gives a function that takes the bytes loaded so far, of `total`, or None for no bar.

    A tqdm bar on a terminal or in a notebook, once loading has taken a second; none where stderr
    goes elsewhere, with HF_HUB_DISABLE_PROGRESS_BARS=1, or after `disable_progress_bar()` of
    transformers. INTERNVL_NATIVE_PROGRESS_BARS, 0 or 1, comes before all of that.
    """
    if not _is_wanted():
        yield None
        return
    from tqdm.auto import tqdm  # imported late: not every load is slow

    settings: dict[str, Any] = {"unit": "B", "unit_scale": True, "delay": _DELAY}
    with tqdm(total=total, desc="Loading weights", **settings) as bar:
        yield lambda done: bar.update(done - bar.n)
        bar.update(total - bar.n)


def _is_wanted() -> bool:
    own = os.environ.get("INTERNVL_NATIVE_PROGRESS_BARS", "").upper()
    if own:
        return own in _TRUE
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").upper() in _TRUE:
        return False
    transformers_logging = sys.modules.get("transformers.utils.logging")
    if transformers_logging and not transformers_logging.is_progress_bar_enabled():
        return False
    return _is_terminal(sys.stderr) or _in_notebook()


def _is_terminal(stream: Any) -> bool:
    """Programs put their own in stderr's place, some with no more than write(), or close it."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel; libraries import IPython elsewhere, too."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config
