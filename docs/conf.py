"""The API page, made from the docstrings: ``make docs``."""

from pipeline import __version__

project = "chemtune"
release = __version__
extensions = ["sphinx.ext.autodoc", "numpydoc"]
exclude_patterns: list[str] = []
html_theme = "alabaster"
html_theme_options = {"nosidebar": True, "page_width": "1080px", "body_max_width": "none"}
html_copy_source = False
html_show_copyright = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types stand in the numpydoc sections
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
