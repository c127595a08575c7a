"""The HTTP API: `path("flare/", include("django_flare.api.urls"))`.

A view translates a request, calls one verb of `jobs` and translates the answer back. Nothing here
reads the project's `REST_FRAMEWORK` settings.
"""
