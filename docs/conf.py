"""The documentation site: `sphinx-build -W docs site` writes it, without a network.

Sphinx, as the docstrings are NumPy style in reStructuredText, with formulas and references that
it reads. The formulas are drawn by KaTeX, which lies in ``_static/katex``.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.util.math import wrap_displaymath

import bpnet

project = "bpnet"
author = "The bpnet developers"
copyright = "The bpnet developers, MIT License"
version = release = bpnet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_static"]
default_role = "code"

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say the types
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_preprocess_types = True
napoleon_use_ivar = True
napoleon_use_rtype = False
strip_signature_backslash = True  # by which napoleon tells "coefs_" from a link

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"bpnet {version}"
html_static_path = ["_static"]
html_css_files = ["katex/katex.min.css", "site.css"]
html_js_files = ["katex/katex.min.js", "formulas.js"]
html_math_renderer = "katex"
html_copy_source = False
html_show_sphinx = False


def setup(app: Any) -> None:
    """Leave formulas to KaTeX, which draws them in the reader's browser."""
    app.add_html_math_renderer("katex", (_inline, None), (_display, None))
    app.connect("autodoc-process-docstring", _split_attributes, priority=600)  # after napoleon


def _split_attributes(
    app: Any, what: str, name: str, owner: Any, options: Any, lines: list[str]
) -> None:
    """Give each attribute of one description a field, as napoleon does parameters.

    Sphinx takes the first names of ``:ivar a, b: ...`` for a type.
    """
    fields: list[list[str]] = []
    for line in lines:
        if fields and (not line or line[0] == " "):
            fields[-1].append(line)
        else:
            fields.append([line])
    lines.clear()
    for first, *rest in fields:
        found = re.fullmatch(r":(ivar|vartype) ([^:]*, [^:]*):(.*)", first)
        if found is None:
            lines += [first, *rest]
            continue
        for attribute in found[2].split(", "):
            lines += [f":{found[1]} {attribute}:{found[3]}", *rest]


def _inline(self: Any, node: Any) -> None:
    self.body.append(self.starttag(node, "span", "", CLASS="math"))
    self.body.append(self.encode(node.astext()) + "</span>")
    raise nodes.SkipNode


def _display(self: Any, node: Any) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    formula = node.astext() if node["nowrap"] else wrap_displaymath(node.astext(), None, False)
    self.body.append(self.encode(formula) + "</div>")
    raise nodes.SkipNode
