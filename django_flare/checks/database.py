"""Ask the jobs' database whether all is there and whether it keeps what it commits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Warning
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.models import UniqueConstraint

from django_flare.checks.configuration import readable_settings

_LABEL = "django_flare"
_CRASH_SPOILS = frozenset({"off", "memory"})
"""Journals of SQLite that do not outlive the process: a crash may leave a broken file."""


def check_schema(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that the migrations are applied and no index has been dropped since."""
    connection = _asked_for(databases)
    # `migrate` runs these checks before it does its work, and would be warned of its own purpose.
    if connection is None or sys.argv[1:2] == ["migrate"]:
        return []
    return list(_unapplied(connection)) or list(_missing_indexes(connection))


def check_durability(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that a crash of the server loses no committed job (F44)."""
    connection = _asked_for(databases)
    if connection is None:
        return []
    return [
        Warning(
            f"Database {connection.alias!r} may lose committed jobs when its server crashes: {weakness}",
            hint="Promise 1, that a committed job is never lost, holds only with it on.",
            id="django_flare.W006",
        )
        for weakness in _WEAKNESSES.get(connection.vendor, _none)(connection)
    ]


def _asked_for(databases: Sequence[str] | None) -> BaseDatabaseWrapper | None:
    flare = readable_settings()
    if flare is None or flare.database not in connections or flare.database not in (databases or ()):
        return None
    return connections[flare.database]


def _unapplied(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    executor = MigrationExecutor(connection)
    targets = executor.loader.graph.leaf_nodes(_LABEL)
    names = [each.name for each, _ in executor.migration_plan(targets) if each.app_label == _LABEL]
    if names:
        yield Warning(
            f"Database {connection.alias!r} lacks migrations of django_flare: {', '.join(names)}",
            hint=f"Run manage.py migrate {_LABEL} --database {connection.alias}.",
            id="django_flare.W004",
        )


def _missing_indexes(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    missing: list[str] = []
    with connection.cursor() as cursor:
        for model in apps.get_app_config(_LABEL).get_models():
            there = connection.introspection.get_constraints(cursor, model._meta.db_table)
            unique = [each for each in model._meta.constraints if isinstance(each, UniqueConstraint)]
            missing += [each.name for each in (*model._meta.indexes, *unique) if each.name not in there]
    if missing:
        shown = " and ".join(f"manage.py sqlmigrate {_LABEL} {name}" for name in _origins(missing))
        yield Warning(
            f"Database {connection.alias!r} lacks indexes of django_flare: {', '.join(missing)}",
            hint=f"Create them by the SQL of {shown}: claims scan the table without.",
            id="django_flare.W003",
        )


def _origins(names: Sequence[str]) -> list[str]:
    """Return the migrations that create indexes or constraints of these names."""
    migrations = MigrationLoader(None).disk_migrations
    return sorted(
        name
        for (label, name), migration in migrations.items()
        if label == _LABEL and any(_creates(operation, names) for operation in migration.operations)
    )


def _creates(operation: Any, names: Sequence[str]) -> bool:
    options = getattr(operation, "options", {})
    made = [*options.get("indexes", ()), *options.get("constraints", ())]
    made += [getattr(operation, kind, None) for kind in ("index", "constraint")]
    return any(each is not None and each.name in names for each in made)


def _weak_postgresql(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM pg_settings"
            " WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND setting = 'off'"
            " ORDER BY name"
        )
        yield from (f"{name} is off" for (name,) in cursor.fetchall())


def _weak_mysql(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit")
        (value,) = cursor.fetchone()
    if int(value) != 1:
        yield f"innodb_flush_log_at_trx_commit is {value}"


def _weak_sqlite(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        (value,) = cursor.fetchone()
        cursor.execute("PRAGMA journal_mode")
        (mode,) = cursor.fetchone()
    if not int(value):
        yield "synchronous is OFF"
    if mode in _CRASH_SPOILS and not connection.is_in_memory_db():  # type: ignore[attr-defined]
        yield f"journal_mode is {mode.upper()}"


def _none(_: BaseDatabaseWrapper) -> Iterator[str]:
    yield from ()


_WEAKNESSES = {"postgresql": _weak_postgresql, "mysql": _weak_mysql, "sqlite": _weak_sqlite}
