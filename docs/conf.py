"""Sphinx builds the documentation from reStructuredText, without a network."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import django
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
django.setup()  # autodoc imports models

import transitions  # noqa: E402 - it imports django_flare

project = "django_flare"
author = "django_flare contributors"
copyright = author
release = installed_version("django-flare")
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = False
# A section that has no page yet is no mistake.
suppress_warnings = ["toc.empty_glob"]

# Single backquotes in docstrings are code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"django_flare {release}"


class Transitions(SphinxDirective):
    """Put the table of all transitions here."""

    def run(self) -> list[Node]:
        return self.parse_text_to_nodes(transitions.table())


def setup(app: Sphinx) -> None:
    """Let Sphinx know the directive."""
    app.add_directive("flare-transitions", Transitions)
