"""The queries that runs have in progress: on which connections they are, and how they are cancelled."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_flare.store.interrupt import cancel_query

logger = logging.getLogger("django_flare.worker")

Connections = dict[str, BaseDatabaseWrapper]
"""Connections of one thread, by alias."""

_here = threading.local()


def note_connections_of_this_thread(found: Connections) -> None:
    """Put into `found`, from now on, each connection that this thread opens."""
    _here.found = found


def _note(connection: BaseDatabaseWrapper, **_: Any) -> None:
    found: Connections | None = getattr(_here, "found", None)
    if found is not None:
        found[connection.alias] = connection


connection_created.connect(_note, dispatch_uid="django_flare.worker.queries")


def cancel_queries(connections: Collection[BaseDatabaseWrapper]) -> None:
    """Cancel what goes on now on these connections, without waiting for it.

    The cancel of a run that ends meanwhile meets a closed connection or an idle one: the drivers'
    connections are those of now, and their slot closes them before its next run.
    """
    drivers = [(each, each.connection) for each in connections if each.connection is not None]
    if drivers:
        # Reaching the server may take its time, and the watchdog has other runs to watch.
        try:
            threading.Thread(target=_cancel, args=[drivers], name="flare-cancel", daemon=True).start()
        except RuntimeError as error:
            logger.warning("No thread to cancel a query with: %s", error)


def _cancel(drivers: Collection[tuple[BaseDatabaseWrapper, Any]]) -> None:
    for connection, driver in drivers:
        try:
            cancel_query(connection, driver)
        except Exception as error:
            # Closed meanwhile, or the server cannot be reached; the escalation goes on in any case.
            logger.debug("A query on %r could not be cancelled: %s", connection.alias, error)
