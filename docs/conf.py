"""Sphinx builds the documentation from reStructuredText, without a network."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
django.setup()  # autodoc imports models

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

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"django_flare {release}"
