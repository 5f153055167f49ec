"""Every public name is documented: in the API pages, and by a docstring of its own."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import internvl_native

PAGES = Path(__file__).resolve().parents[2] / "docs" / "api"
DIRECTIVE = re.compile(r"^\.\. auto(?:class|function|exception):: (\w+)", re.MULTILINE)


def own_members(public_class: type[Any]) -> list[tuple[str, Any]]:
    """Public methods and properties that this package (not dict, list, ...) gives the class."""
    return [
        (f"{base.__qualname__}.{name}", member)
        for base in public_class.__mro__
        if base.__module__.startswith("internvl_native")
        for name, member in vars(base).items()
        if not name.startswith("_")
        and (inspect.isroutine(member) or isinstance(member, (property, classmethod)))
    ]


def test_every_public_name_is_in_the_pages() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    assert set(internvl_native.__all__) <= set(DIRECTIVE.findall(text))


@pytest.mark.parametrize("name", internvl_native.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    value = getattr(internvl_native, name)
    documented = {name: value}
    if inspect.isclass(value):
        documented.update(own_members(value))
    assert [key for key, member in documented.items() if not inspect.getdoc(member)] == []
