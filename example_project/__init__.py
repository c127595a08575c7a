"""A small shop whose slow work runs as jobs: what django_flare looks like in a project."""
