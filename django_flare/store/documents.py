"""Join a statement to a list of records that travels as one JSON document.

One parameter, one plan, any number of records: `bulk_update` builds a CASE per column and row
instead, at about 400 µs a job. Each engine has a table function for it under another name.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db.backends.base.base import BaseDatabaseWrapper

INTEGER, TEXT, REAL = "integer", "text", "real"

_TYPES = {
    "postgresql": {INTEGER: "bigint", TEXT: "text", REAL: "double precision"},
    "mysql": {INTEGER: "bigint", TEXT: "longtext", REAL: "double"},
}


def records(connection: BaseDatabaseWrapper, columns: Mapping[str, str]) -> str:
    """Return the table (alias `d`) of a document's records, for FROM or JOIN.

    `columns` names the records' members and their types; a missing member is null. The
    statement takes one parameter, the JSON text of an array of objects.
    """
    quote = connection.ops.quote_name
    return _RECORDS[connection.vendor]({quote(name): (name, kind) for name, kind in columns.items()})


def update_joined(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Mapping[str, str],
    assignments: Mapping[str, str],
    condition: str,
) -> str:
    """Return an UPDATE of `table` (alias `job`) joined to the `records` of a document."""
    quote = connection.ops.quote_name
    source = records(connection, columns)
    changes = ", ".join(f"{_target(connection, name)} = {value}" for name, value in assignments.items())
    if connection.vendor == "mysql":
        # Record by record and by key: left to itself MariaDB may scan the table, or an index that another
        # condition offers, and then waits for locked rows that are in no record.
        joined = f"{source} STRAIGHT_JOIN {quote(table)} AS job FORCE INDEX (PRIMARY) ON {condition}"
        return f"UPDATE {joined} SET {changes}"  # noqa: S608 - names are ours
    return f"UPDATE {quote(table)} AS job SET {changes} FROM {source} WHERE {condition}"  # noqa: S608 - names are ours


def _target(connection: BaseDatabaseWrapper, name: str) -> str:
    quoted = connection.ops.quote_name(name)
    return f"job.{quoted}" if connection.vendor == "mysql" else quoted


Columns = Mapping[str, tuple[str, str]]


def _postgresql(columns: Columns) -> str:
    types = _TYPES["postgresql"]
    shape = ", ".join(f"{column} {types[kind]}" for column, (_, kind) in columns.items())
    return f"json_to_recordset(%s::json) AS d({shape})"


def _mysql(columns: Columns) -> str:
    types = _TYPES["mysql"]
    shape = ", ".join(f"{column} {types[kind]} PATH '$.{name}'" for column, (name, kind) in columns.items())
    return f"JSON_TABLE(%s, '$[*]' COLUMNS({shape})) AS d"


def _sqlite(columns: Columns) -> str:
    members = ", ".join(
        f"json_extract(value, '$.{name}') AS {column}" for column, (name, _) in columns.items()
    )
    return f"(SELECT {members} FROM json_each(%s)) AS d"  # noqa: S608 - names are ours


_RECORDS = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}
