"""Sphinx configuration; `make docs` builds the pages and treats every warning as an error."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pictures

project = "ndpool"
author = "The ndpool developers"
project_copyright = "The ndpool developers"
release = version = installed_version("ndpool")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build"]
default_role = "literal"
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
# A page with code cells is run when it is built; one that fails, or takes long, fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_render_markdown_format = "myst"  # tables that cells write are tables

html_theme = "pydata_sphinx_theme"
html_title = "ndpool"
html_theme_options = {"show_prev_next": False, "show_toc_level": 2}


def setup(app):  # noqa: ANN001, ANN201 - as Sphinx asks for it
    """Draw the pictures before pages are read."""
    app.connect("builder-inited", lambda app: pictures.draw(Path(app.srcdir) / "generated"))
