"""Sphinx settings. Pages that say what the source already says are generated before the build; see _generate/."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from _generate import pages  # noqa: E402 - found by the line above

import mqtt_core  # noqa: E402 - see above

pages.write(HERE)

project = "mqtt-core"
author = "The mqtt-core authors"
project_copyright = "2026, The mqtt-core authors"
release = version = mqtt_core.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_generate", "examples", "concepts/*-table.md"]
nitpicky = False  # annotations name types that are nobody's page: typing's, the loops', type variables
default_role = "code"

autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 100

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"mqtt-core {release}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False
