"""The site: pages, notebooks, which are executed as it is built, and the API from the docstrings. ``make docs``."""

import os
import sys
from pathlib import Path

from pipeline import __version__

os.environ["PATH"] = (
    f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for notebooks that call chemtune
)

project = "chemtune"
release = __version__
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = f"chemtune {release}"
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 3
nb_execution_mode = "cache"  # executed again where a notebook has changed
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types stand in the numpydoc sections
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
