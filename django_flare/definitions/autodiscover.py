"""Finding the handlers of a project at start-up."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps

from django_flare.conf import autodiscover_module

_OWN_APP = "django_flare"


def autodiscover() -> None:
    """Import the module `jobs`, or what AUTODISCOVER names, of every installed app but our own.

    An app without one is fine; whatever an existing one raises is passed on.
    """
    module = autodiscover_module()
    for app in apps.get_app_configs():
        if app.name != _OWN_APP:
            _import_if_present(f"{app.name}.{module}")


def _import_if_present(path: str) -> None:
    try:
        import_module(path)
    except ModuleNotFoundError as error:
        # Missing is the module itself or a package on the way to it, not something it imports.
        if not f"{path}.".startswith(f"{error.name}."):
            raise
