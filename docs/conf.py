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

import fields  # noqa: E402 - they import django_flare
import transitions  # noqa: E402

import django_flare  # noqa: E402

DOCUMENT = Path(django_flare.__file__).parent / "api" / "openapi.json"

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


class Fields(SphinxDirective):
    """Put the table of the fields of a schema of the HTTP API here."""

    required_arguments = 1

    def run(self) -> list[Node]:
        # The page is built anew when the document has changed.
        self.env.note_dependency(str(DOCUMENT))
        return self.parse_text_to_nodes(fields.table(self.arguments[0]))


def setup(app: Sphinx) -> None:
    """Let Sphinx know the directives."""
    app.add_directive("flare-transitions", Transitions)
    app.add_directive("flare-fields", Fields)
