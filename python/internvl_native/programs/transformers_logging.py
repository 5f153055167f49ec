"""`transformers.logging`: verbosity, as a level of this package's loggers."""

from __future__ import annotations

import logging
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "FATAL",
    "INFO",
    "NOTSET",
    "WARN",
    "WARNING",
    "disable_propagation",
    "enable_propagation",
    "get_logger",
    "get_verbosity",
    "set_verbosity",
    "set_verbosity_debug",
    "set_verbosity_error",
    "set_verbosity_info",
    "set_verbosity_warning",
]

_LIBRARY = logging.getLogger("internvl_native")


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger `name`, or this package's."""
    return logging.getLogger(name) if name else _LIBRARY


def get_verbosity() -> int:
    """The level from which on this package logs."""
    return _LIBRARY.getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Lets this package log from the level `verbosity` on."""
    _LIBRARY.setLevel(verbosity)


def set_verbosity_debug() -> None:
    """As ``set_verbosity(DEBUG)``."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """As ``set_verbosity(INFO)``."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """As ``set_verbosity(WARNING)``."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """As ``set_verbosity(ERROR)``."""
    set_verbosity(ERROR)


def disable_propagation() -> None:
    """Keeps this package's records from the root logger's handlers."""
    _LIBRARY.propagate = False


def enable_propagation() -> None:
    """Undoes `disable_propagation`."""
    _LIBRARY.propagate = True
