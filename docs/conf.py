"""Sphinx configuration. The build reads nothing from the network."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sknnopt._version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "sknnopt"
author = "the sknnopt developers"
copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "local_links",
    "option_tables",
    "result_tables",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_ext", "_templates", "guide"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}

# A reference that leads nowhere is a warning, and with `make docs` an error.
nitpicky = True
# `make links` asks the other ends, which the build itself never does.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 2
linkcheck_report_timeouts_as_broken = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's Parameters section names the types
autosummary_generate = True
numpydoc_show_class_members = False  # the autosummary template lists them

# The chapters of the guide run while the documentation is built.
sphinx_gallery_conf = {
    "examples_dirs": "guide",
    "gallery_dirs": "generated/guide",
    "within_subsection_order": "FileNameSortKey",  # chapters are numbered
    # A string each: Sphinx cannot keep functions in its cache.
    "reset_modules": ("matplotlib", "gallery_style.apply"),
    "image_srcset": ["2x"],
    "min_reported_time": 3600,  # how long a chapter takes says more of the machine
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "sknnopt"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["guide.css", "layout.css"]
# Pages without others below them have nothing to navigate.
html_sidebars = {page: [] for page in ("index", "quickstart")}
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}

# scikit-learn gives every estimator these; they refer to pages of its own manual.
ROUTING = re.compile(r"set_\w+_request|get_metadata_routing")


def skip_routing(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave scikit-learn's metadata routing out of the class pages."""
    return True if ROUTING.fullmatch(name) else None


def widen_chapters(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give a chapter's code the width that a list of its headings would take."""
    if page.startswith("generated/guide/"):
        context["theme_secondary_sidebar_items"] = []


def setup(app: Sphinx) -> None:
    """Connect the hooks of this configuration."""
    app.connect("html-page-context", widen_chapters, priority=400)  # before the theme's
    app.connect("autodoc-skip-member", skip_routing)
