"""Sphinx configuration: `make docs` builds the pages and the API reference from the docstrings."""

from __future__ import annotations

import internvl_native

project = "internvl-native"
author = "the internvl-native developers"
copyright = author
version = release = internvl_native.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"internvl-native {release}"

nitpicky = True
# Types of other packages: their pages are not linked, so that the build needs no network.
nitpick_ignore_regex = [
    ("py:class", r"(Image|PIL|npt|collections|numpy|os|pathlib|torch|types|typing)\..*"),
    ("py:class", r"internvl_native\..*|[A-Z]\w*"),
]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `name`
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "inherited-members": "dict,list,Exception"}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
