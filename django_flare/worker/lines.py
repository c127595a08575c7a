"""The worker's own lines to the database: connections that no job shares, on which nobody waits for ever."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_flare.worker.connections import discard_driver

_LEAST_LIMIT = 1.0
_LEAST_TIMEOUT = 2
_SQLITE_TIMEOUT = 5.0
"""What Python's sqlite3 waits by itself."""
_CANCEL = 1.0


class Line:
    """Hold one thread's own connection to `using`; a statement or a commit on it may take `limit` seconds.

    Inside `with line:` it is the thread's connection to that alias. It never comes from a pool: slots may
    hold all that a pool has, and a worker that cannot beat is taken for dead.

    A connection may be half open, so that no answer comes and no error either (F37). MySQL's drivers
    have timeouts of their own for that; on PostgreSQL `worker.deadlines` watches and hangs up.
    """

    def __init__(self, using: str, limit: float) -> None:
        self.limit = max(limit, _LEAST_LIMIT)
        self._using = using
        self._own: BaseDatabaseWrapper | None = None
        self._of_thread: Any = None
        self._busy_since: float | None = None

    @property
    def busy_since(self) -> float | None:
        """The monotonic time of the last sign of life of the server while it is waited for, else None."""
        return self._busy_since

    def __enter__(self) -> Line:
        self._of_thread = connections[self._using]
        self._own = self._own or self._make(self._of_thread)
        connections[self._using] = self._own
        self._busy_since = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._busy_since = None
        connections[self._using] = self._of_thread

    @property
    def driver(self) -> Any:
        """The driver's connection, opened if need be; inside `with` only."""
        connection = connections[self._using]
        connection.ensure_connection()
        return connection.connection

    def drop(self) -> None:
        """Close the connection in whatever state it is; the next use opens another."""
        own, self._own = self._own, None
        if own is not None:
            discard_driver(own)

    @property
    def can_hang_up(self) -> bool:
        """Whether the driver can be made to give up from outside."""
        own = self._own
        return own is not None and hasattr(own.connection, "pgconn")

    def hang_up(self, since: float) -> None:
        """Let the statement fail that has been under way since `since`; called from any other thread.

        First the server is asked to give the statement up: it would wait on for a lock, although
        nobody listens any more. Then the socket is shut down under the driver.
        """
        own = self._own
        driver: Any = own.connection if own is not None else None
        if driver is None:
            return
        try:
            driver.cancel_safe(timeout=_CANCEL)
        finally:
            with socket.socket(fileno=os.dup(driver.pgconn.socket)) as end:
                # Still the same statement: so the number was not that of somebody else's socket.
                if self._busy_since == since:
                    end.shutdown(socket.SHUT_RDWR)

    def _make(self, model: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
        options = dict(model.settings_dict.get("OPTIONS") or {})
        options.pop("pool", None)
        options = {**_timeouts(model.vendor, self.limit), **options}
        if model.vendor == "sqlite":
            # The wait for a writer is silent; the loop tries again, and shows in between that it lives.
            options["timeout"] = min(options.get("timeout", _SQLITE_TIMEOUT), self.limit)
        own = type(model)({**model.settings_dict, "OPTIONS": options}, model.alias)
        own.execute_wrappers.append(self._note_life)
        return own

    def _note_life(self, execute: Callable[..., Any], *call: Any) -> Any:
        self._busy_since = time.monotonic()
        try:
            return execute(*call)
        finally:
            self._busy_since = time.monotonic()


def _timeouts(vendor: str, limit: float) -> dict[str, int]:
    """Return what makes the driver itself give up; whole seconds, as mysqlclient wants them."""
    seconds = max(_LEAST_TIMEOUT, math.ceil(limit))
    if vendor == "postgresql":
        return {"connect_timeout": seconds}
    if vendor == "mysql":
        return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    return {}
