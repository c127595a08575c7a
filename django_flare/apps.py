"""How Django starts django_flare."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FlareConfig(AppConfig):
    """Register the system checks and find the project's handlers.

    Raises ImproperlyConfigured at start-up for two handlers of one name and for a payload
    annotation of no use; whatever a `jobs` module raises is passed on.
    """

    name = "django_flare"
    label = "django_flare"
    verbose_name = _("Background jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import what may only be imported once all models are loaded, and start with it."""
        from django_flare import checks
        from django_flare import operations as operations  # registers its handler
        from django_flare.definitions import autodiscover, registry

        checks.register_checks()
        autodiscover()
        registry.check()
