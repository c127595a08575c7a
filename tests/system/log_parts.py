"""What a project's LOGGING may be made of."""

import logging

from django.apps import apps


class NeedsApps(logging.Formatter):
    """Formats only where the apps are loaded, as what looks something up in a table would."""

    def format(self, record):
        apps.check_apps_ready()
        return f"formatted: {record.getMessage()}"


class OfTheirOwn(logging.StreamHandler):
    """A handler that nobody knows."""
