"""How Sphinx builds the documentation: Markdown for the pages, docstrings for the reference."""

import sys
from pathlib import Path

import lossmith

sys.path.append(str(Path(__file__).parent / "_ext"))

project = "lossmith"
author = "The lossmith authors"
copyright = "the lossmith authors"
version = release = lossmith.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "loss_pages",
    "rule_pages",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The reference says what the source says, in the source's order; what torch's classes say, torch says.
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"lossmith {version}"
