"""Indexes over the few rows that a hot query wants, on engines with and without partial indexes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import F, Q

# The option is not named `condition`: Django warns (models.W036, W037) about conditions on
# engines that would drop them, and these do not drop them, they lead the columns by them.


class _Literal(models.Lookup):
    """A condition of a partial index, spelled alike in the index and in queries by every version of Django.

    SQLite takes the index only for a query that has its condition word for word, and reads the whole
    table otherwise.
    """

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        return self.spell(column, connection), tuple(parameters)

    def spell(self, column: str, connection: BaseDatabaseWrapper) -> str:
        """Return the condition on `column`."""
        raise NotImplementedError


class Among(_Literal):
    """The column `state` holds one of several states."""

    def __init__(self, states: Collection[str]) -> None:
        super().__init__(F("state"), [str(state) for state in sorted(states)])

    def spell(self, column: str, connection: BaseDatabaseWrapper) -> str:
        return "{} IN ({})".format(column, ", ".join(f"'{state}'" for state in self.rhs))


class Unset(_Literal):
    """A column of truth values holds false."""

    def __init__(self, column: str) -> None:
        super().__init__(F(column), False)

    def spell(self, column: str, connection: BaseDatabaseWrapper) -> str:
        # MySQL and MariaDB find it in an index by this alone.
        return f"{column} = FALSE" if connection.vendor == "mysql" else f"NOT {column}"


class PartialIndex(models.Index):
    """Index the rows in `states` for which each column of `equals` has its value, which is False.

    With several states the column `state` leads the index, so that each can be probed alone.
    Where the engine has no partial indexes, `state` and the columns of `equals` lead it.
    """

    def __init__(
        self,
        *,
        fields: Sequence[str],
        name: str,
        states: Sequence[str],
        equals: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(fields=list(fields), name=name)
        # Plain text, so that a migration stays what it was when the enumeration grows.
        self.states = sorted(str(state) for state in states)
        self.equals = dict(equals or {})

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        return self._plain(schema_editor).create_sql(model, schema_editor, using=using, **kwargs)

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "states": self.states, "equals": self.equals}

    def _plain(self, schema_editor: BaseDatabaseSchemaEditor) -> models.Index:
        if not schema_editor.connection.features.supports_partial_indexes:
            return models.Index(fields=["state", *self.equals, *self.fields], name=self.name)
        several = len(self.states) > 1
        fields = ["state", *self.fields] if several else self.fields
        state = Q(Among(self.states)) if several else Q(state=self.states[0])
        return models.Index(fields=fields, name=self.name, condition=Q(state, *map(Unset, self.equals)))


class UniqueWhereGiven(models.UniqueConstraint):
    """Keep `fields` unique among the rows whose last field is not null, indexing only those if possible."""

    def __init__(self, *, fields: Sequence[str], name: str) -> None:
        super().__init__(fields=list(fields), name=name)

    def _plain(self, schema_editor: BaseDatabaseSchemaEditor) -> models.UniqueConstraint:
        if not schema_editor.connection.features.supports_partial_indexes:
            # Nulls are distinct there, so the plain constraint says the same.
            return models.UniqueConstraint(fields=self.fields, name=self.name)
        given = Q(**{f"{self.fields[-1]}__isnull": False})
        return models.UniqueConstraint(fields=self.fields, name=self.name, condition=given)

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._plain(schema_editor).constraint_sql(model, schema_editor)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._plain(schema_editor).create_sql(model, schema_editor)

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return self._plain(schema_editor).remove_sql(model, schema_editor)
