"""The app of the campaign's project."""

import os

from django.apps import AppConfig


class ChaosConfig(AppConfig):
    """Break django_flare in this process on purpose when `CHAOS_PLANTED` says how."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self):
        from tests.chaos import planted

        if "CHAOS_PLANTED" in os.environ:
            planted.plant(os.environ["CHAOS_PLANTED"])
