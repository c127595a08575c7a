"""Django's database connections in a thread of the worker: kept between jobs, never handed on dirty."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_flare.worker.logs import escape

logger = logging.getLogger("django_flare.worker")

_IDLE = 1.0
"""Seconds after which a kept connection is asked whether it still works."""
_LONG_IDLE = 60.0
"""Seconds after which it is not even asked: firewalls forget idle connections, and no answer would come."""


def check_idle_connections(idle_for: float) -> None:
    """Close kept connections that the server has, or may have, dropped while the thread was idle."""
    if idle_for < _IDLE:
        return
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        may_be_half_open = idle_for > _LONG_IDLE and connection.vendor != "sqlite"
        if may_be_half_open or not connection.is_usable():
            drop_connection(connection)


def clean_connections(job: str, fields: Callable[[], Mapping[str, Any]] = dict) -> None:
    """Make the thread's connections fit for the next job: no open, broken or stale one stays.

    What a job has left behind is logged with its type and `fields`.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if _is_closed(connection.connection):
            drop_connection(connection)
        elif _has_leftovers(connection):
            logger.warning(
                "%s left a transaction open on database %r; rolled back",
                escape(job),
                connection.alias,
                extra=fields(),
            )
            drop_connection(connection)
        elif _is_changed(connection):
            logger.warning(
                "%s left settings of its own on the connection to database %r; replaced",
                escape(job),
                connection.alias,
                extra=fields(),
            )
            drop_connection(connection)
        elif connection.errors_occurred or _is_old(connection):
            connection.close()


def drop_connections() -> None:
    """Close all connections of this thread, in whatever state they are."""
    for connection in connections.all(initialized_only=True):
        drop_connection(connection)


def drop_connection(connection: BaseDatabaseWrapper) -> None:
    """Close a connection past Django's bookkeeping, which refuses that inside an atomic block."""
    del connections[connection.alias]
    discard_driver(connection)


def discard_driver(connection: BaseDatabaseWrapper) -> None:
    """Close what is below Django's connection, in whatever state it is."""
    driver, connection.connection = connection.connection, None
    try:
        if driver is not None:
            driver.close()
            # A pool counts its connections, also the closed, which it replaces.
            pool = getattr(driver, "_pool", None)
            if pool is not None:
                pool.putconn(driver)
    except Exception:
        logger.debug("Closing a broken connection failed", exc_info=True)


def _is_old(connection: BaseDatabaseWrapper) -> bool:
    # CONN_MAX_AGE = 0 means "close after each request"; a worker would then connect for each job.
    return bool(connection.settings_dict["CONN_MAX_AGE"]) and _is_past(connection.close_at)


def _is_past(moment: float | None) -> bool:
    return moment is not None and moment < time.monotonic()


def _has_leftovers(connection: BaseDatabaseWrapper) -> bool:
    return connection.in_atomic_block or not connection.autocommit or _in_transaction(connection.connection)


_SETTINGS = ("autocommit", "isolation_level", "read_only", "deferrable")
"""What the drivers keep on their own side, so that it costs no statement to ask for it."""


def _settings(connection: BaseDatabaseWrapper) -> list[Any]:
    return [getattr(connection.connection, name, None) for name in _SETTINGS]


def _note(connection: BaseDatabaseWrapper, **_: Any) -> None:
    vars(connection)[_BEGAN_WITH] = _settings(connection)


_BEGAN_WITH = "_flare_settings"
# A worker is imported after the apps, so that this sees what the project's own receivers have set.
connection_created.connect(_note, dispatch_uid="django_flare.worker.connections")


def _is_changed(connection: BaseDatabaseWrapper) -> bool:
    began_with = vars(connection).get(_BEGAN_WITH)
    return began_with is not None and began_with != _settings(connection)


def _is_closed(driver: Any) -> bool:
    """Ask the driver, for a connection that was closed past Django."""
    if hasattr(driver, "closed"):  # psycopg
        return bool(driver.closed)
    if hasattr(driver, "open"):  # PyMySQL, mysqlclient
        return not driver.open
    try:
        return driver.in_transaction is None  # sqlite3 refuses to say it of a closed connection
    except Exception:
        return True


def _in_transaction(driver: Any) -> bool:
    """Ask the driver, for a transaction that was opened past Django."""
    if hasattr(driver, "in_transaction"):  # sqlite3
        return bool(driver.in_transaction)
    if hasattr(driver, "info") and hasattr(driver.info, "transaction_status"):  # psycopg
        return not driver.closed and driver.info.transaction_status != 0
    return bool(getattr(driver, "server_status", 0) & 1)  # PyMySQL: SERVER_STATUS_IN_TRANS
