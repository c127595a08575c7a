"""System checks; docs/reference/checks.rst lists their ids.

Those of `configuration` run always, those of `deployment` with `check --deploy`; neither opens a
connection. Those of `database` run for the databases that `check --database` names.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from django_flare.checks.api import check_rate_limit
from django_flare.checks.configuration import check_database, check_settings
from django_flare.checks.database import check_durability, check_schema
from django_flare.checks.deployment import check_connection

__all__ = [
    "check_connection",
    "check_database",
    "check_durability",
    "check_rate_limit",
    "check_schema",
    "check_settings",
    "register_checks",
]


def register_checks() -> None:
    """Register the checks with Django; a second time changes nothing."""
    register(check_settings, "django_flare")
    register(check_database, "django_flare")
    register(check_rate_limit, "django_flare")
    register(check_connection, "django_flare", deploy=True)
    register(check_schema, "django_flare", Tags.database)
    register(check_durability, "django_flare", Tags.database)
