"""Queries of the ORM that are compiled once and run often.

Building one takes the ORM longer than the database needs to answer it, and a list of two hundred
ids longer still when each is a parameter of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.transaction import atomic

ModelT = TypeVar("ModelT", bound=Model)

IDS = -(2**62)
"""Stands for a list of ids in a query to compile: `filter(pk__in=[IDS])`; no key is negative."""

ID_LIST = "\ue000ids"
"""Stands for the same list in the text of a statement, see `with_ids`."""

LIMIT = 2**62
"""Stands for how many rows a query to compile returns at most, `[:LIMIT]`: a value to name with each run."""


def with_ids(sql: str, ids: Iterable[int]) -> str:
    """Write the ids into a statement where `ID_LIST` stands."""
    return sql.replace(ID_LIST, ", ".join(map(str, ids)))


class Compiled:
    """A SELECT of tuples (`values_list`), whose ids and values come with each run.

    A value that changes is written into the query as a stand-in: any object that `rows` is then
    told the value of. What depends on the clock (`DatabaseNow`) must not be kept: tests replace it.
    """

    def __init__(self, rows: QuerySet[Any, Any]) -> None:
        compiler = rows.query.get_compiler(rows.db)
        # Only in a transaction does Django spell a lock; a statement alone may have one too.
        with atomic(rows.db, savepoint=False):
            sql, parameters = compiler.as_sql()
        self.sql, self._parameters = _with_limit(*_with_list(sql, list(parameters)))
        selected = [expression for expression, *_ in compiler.select]
        self._converters = compiler.get_converters(selected)

    def rows(self, using: str, ids: Iterable[int] = (), values: Mapping[Any, Any] | None = None) -> list[Any]:
        """Run the query with these ids and these values for its stand-ins."""
        connection = connections[using]
        sql = with_ids(self.sql, ids)
        with connection.cursor() as cursor:
            cursor.execute(sql, self.given(values or {}))
            found = cursor.fetchall()
        return self._converted(found, connection) if self._converters else found

    def given(self, values: Mapping[Any, Any]) -> list[Any]:
        """Return the parameters of `sql`, with these values for its stand-ins."""
        return [values.get(value, value) for value in self._parameters]

    def _converted(self, found: Iterable[Any], connection: BaseDatabaseWrapper) -> list[Any]:
        rows = [list(row) for row in found]
        for place, (converters, expression) in self._converters.items():
            for convert in converters:
                for row in rows:
                    row[place] = convert(row[place], expression, connection)
        return rows


class Lookup(Generic[ModelT]):
    """A SELECT of the one row with a value of the unique column `name`, as an instance.

    What the queryset annotates becomes its attributes. `stand_in` is any value of the column that
    no row has.
    """

    def __init__(self, rows: QuerySet[ModelT, Any], name: str, stand_in: Any) -> None:
        self._model = rows.model
        self._field: Any = rows.model._meta.get_field(name)
        self._stand_in = stand_in
        self._columns = [field.attname for field in rows.model._meta.concrete_fields]
        self._annotations = list(rows.query.annotations)
        found = rows.filter(**{name: stand_in}).values_list(*self._columns, *self._annotations)
        self._query = Compiled(found)

    def find(self, value: Any, using: str) -> ModelT | None:
        """Return the row, or None."""
        prepared = partial(self._field.get_db_prep_value, connection=connections[using])
        for row in self._query.rows(using, values={prepared(self._stand_in): prepared(value)}):
            width = len(self._columns)
            found = self._model.from_db(using, self._columns, row[:width])
            vars(found).update(zip(self._annotations, row[width:], strict=True))
            return found
        return None


def _with_list(sql: str, parameters: list[Any]) -> tuple[str, list[Any]]:
    if IDS not in parameters:
        return sql, parameters
    place = parameters.index(IDS)
    pieces = sql.split("%s")
    before, after = "%s".join(pieces[: place + 1]), "%s".join(pieces[place + 1 :])
    return before + ID_LIST + after, parameters[:place] + parameters[place + 1 :]


def _with_limit(sql: str, parameters: list[Any]) -> tuple[str, list[Any]]:
    # The ORM writes it as a number, after all that has parameters.
    text = f"LIMIT {LIMIT}"
    return (sql.replace(text, "LIMIT %s"), [*parameters, LIMIT]) if text in sql else (sql, parameters)
