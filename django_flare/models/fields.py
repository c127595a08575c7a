"""Columns that behave alike on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    CharField = models.CharField[Any, Any]
else:
    CharField = models.CharField


class ExactCharField(CharField):
    """Compare text letter for letter, also where the engine's default ignores case (MariaDB, MySQL)."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class DocumentField(models.JSONField):
    """Hold a JSON document as deep as FLARE's MAX_DEPTH allows, on every engine.

    MariaDB's JSON type checks its text by a function that refuses more than 32 levels, MySQL's
    stops at 100; plain text keeps the document as it was written.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "longtext" if connection.vendor == "mysql" else super().db_type(connection)

    def db_check(self, connection: BaseDatabaseWrapper) -> str | None:
        return None if connection.vendor == "mysql" else super().db_check(connection)
