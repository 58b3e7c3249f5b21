"""Configuration of the documentation: API from docstrings, gallery executed."""

import importlib.metadata
import importlib.util
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ERA5 = ROOT.parent / "shared" / "data" / "era5_uk_t2m_2019_03.nc"
sys.path.insert(0, str(ROOT))  # the gallery takes its recovery data from bench/
os.environ["ERA5"] = str(ERA5)

project = "relaxon"
author = "The relaxon developers"
copyright = "The relaxon developers"
release = version = importlib.metadata.version("relaxon")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]
templates_path = ["_templates"]
nitpicky = True

html_theme = "furo"
html_title = f"relaxon {release}"
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Types stand in the docstrings, with shape and unit.
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
# The page of the torch layer does not need torch, which is large.
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]

# Examples that need what is not everywhere: shown but not executed without it.
MISSING = {
    name: reason
    for name, is_there, reason in [
        ("plot_3_era5", ERA5.exists(), "the ERA5 file is not beside the project"),
        (
            "plot_5_torch",
            not autodoc_mock_imports,
            "PyTorch is not installed",
        ),
    ]
    if not is_there
}
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": rf"/(?!{'|'.join(map(re.escape, MISSING)) or '$'})plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "image_srcset": ["2x"],
    "min_reported_time": 1,
    "plot_gallery": "True",
    "remove_config_comments": True,
    "show_signature": False,
}


def say_what_is_missing(app, docname, source):
    """Put a note on the page of an example that was not executed."""
    reason = MISSING.get(docname.removeprefix("auto_gallery/"))
    if reason:
        note = f".. note:: This page was built without results: {reason}.\n\n"
        source[0] = source[0].replace(
            ".. GENERATED FROM", note + ".. GENERATED FROM", 1
        )


def keep_formulas(app, what, name, obj, options, lines):
    """Escape the |z| and (batch, *shape) of docstrings, which are plain text."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (
            in_example and line.strip()
        )
        # numpydoc escapes the names of **parameters itself.
        if not in_example and not line.lstrip().startswith("*"):
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app):
    """Connect the functions above."""
    app.connect("source-read", say_what_is_missing)
    app.connect("autodoc-process-docstring", keep_formulas, priority=400)
