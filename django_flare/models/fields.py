"""Columns that behave alike on every engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    CharField = models.CharField[Any, Any]
    TextField = models.TextField[Any, Any]
else:
    CharField, TextField = models.CharField, models.TextField


class ExactCharField(CharField):
    """Compare text letter for letter, also where the engine's default ignores case (MariaDB, MySQL)."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class DocumentField(TextField):
    """Hold a JSON document as text, so that it reads back as it was written, on every engine.

    PostgreSQL's jsonb makes integers of large floats; MariaDB's JSON refuses more than 32 levels.
    What a foreign hand has made unreadable is returned as the text that it is, so that one such
    row breaks no list (F58).
    """

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        """Return the parsed document."""
        if value is None:
            return None
        try:
            return json.loads(value)
        except ValueError:
            return value

    def get_prep_value(self, value: Any) -> str | None:
        """Return the document's text."""
        return None if value is None else json.dumps(value)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the document's text for a dump."""
        return json.dumps(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        """Return the document, also from the text of a dump."""
        return json.loads(value) if isinstance(value, str) else value
