"""Wake the dispatcher when somebody commits work: a hint that makes waits short, never the only way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import connections

from django_flare.conf import flare_settings
from django_flare.store.wakeup import CHANNEL
from django_flare.worker.connections import drop_connection

logger = logging.getLogger("django_flare.worker")

_RETRY = 1.0


class Waker(threading.Thread):
    """Watch for commits on a connection of its own; when that is lost, say so once and try again."""

    name_shown: ClassVar[str]

    def __init__(self, using: str, wake: Callable[[], object]) -> None:
        super().__init__(name="flare-waker", daemon=True)
        self._wake = wake
        self._using = using
        self._stopped = threading.Event()

    def run(self) -> None:
        is_lost = False
        while not self._stopped.is_set():
            try:
                self._open()
                if is_lost:
                    logger.info("Wake-ups work again (%s)", self.name_shown)
                is_lost = False
                # What was committed while nobody watched.
                self._wake()
                while not self._stopped.is_set():
                    self._watch()
            except Exception as error:
                if not is_lost:
                    logger.warning("Wake-ups are lost, polling instead (%s): %s", self.name_shown, error)
                is_lost = True
                self._close()
                self._stopped.wait(_RETRY)
        self._close()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    def _open(self) -> None:
        raise NotImplementedError

    def _watch(self) -> None:
        """Wait a moment for a commit and wake for it."""
        raise NotImplementedError

    def _close(self) -> None:
        drop_connection(connections[self._using])


class Listener(Waker):
    """LISTEN on PostgreSQL."""

    name_shown = "LISTEN/NOTIFY"
    _PATIENCE = 0.5

    def _open(self) -> None:
        connection = connections[self._using]
        connection.ensure_connection()
        self._driver: Any = connection.connection
        self._driver.execute(f"LISTEN {CHANNEL}")

    def _watch(self) -> None:
        for _ in self._driver.notifies(timeout=self._PATIENCE, stop_after=1):
            self._wake()


class FileWatcher(Waker):
    """Ask SQLite for the counter that changes with every commit of another connection."""

    name_shown = "change counter"
    _PATIENCE = 0.01

    def _open(self) -> None:
        connection = connections[self._using]
        connection.ensure_connection()
        self._driver: Any = connection.connection
        self._seen: object = None

    def _watch(self) -> None:
        (counter,) = self._driver.execute("PRAGMA data_version").fetchone()
        if counter != self._seen:
            self._seen = counter
            self._wake()
        self._stopped.wait(self._PATIENCE)


def waker_for(using: str) -> type[Waker] | None:
    """Return the way in which this database can wake workers, or None when only polling is left."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        return FileWatcher
    if connection.vendor == "postgresql" and flare_settings().notify:
        return Listener
    return None
