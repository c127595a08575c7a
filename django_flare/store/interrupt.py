"""Cancel what a connection executes, from another thread than the one that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

_PATIENCE = 2
"""Seconds that reaching the server may take."""


def cancel_query(connection: BaseDatabaseWrapper, driver: Any) -> None:
    """Cancel what `driver`, the driver's connection below `connection`, executes now; no matter if nothing.

    The thread that waits for the query gets the engine's error. Returns within seconds, before the
    query has ended; whoever owns the driver should close it after its work, so that a late cancel
    meets no other query. Raises what the driver raises.
    """
    cancel = _CANCELS.get(connection.vendor)
    if cancel is not None:
        cancel(connection, driver)


def _postgresql(_: object, driver: Any) -> None:
    # By the connection's own key, on a socket of its own; PgBouncer passes it on.
    if hasattr(driver, "cancel_safe"):
        driver.cancel_safe(timeout=_PATIENCE)
    else:
        driver.cancel()


def _mysql(connection: Any, driver: Any) -> None:
    """Kill by a second connection: the protocol has no word for it. The server reuses no thread's number."""
    parameters = {**connection.get_connection_params(), "connect_timeout": _PATIENCE}
    other = connection.get_new_connection(parameters)
    try:
        with other.cursor() as cursor:
            cursor.execute("KILL QUERY %s", [driver.thread_id()])
    finally:
        other.close()


def _sqlite(_: object, driver: Any) -> None:
    driver.interrupt()


_CANCELS: dict[str, Callable[[Any, Any], None]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}
