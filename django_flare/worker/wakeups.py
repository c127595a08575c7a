"""Wake the dispatcher when somebody commits work: a hint that makes waits short, never the only way."""

from __future__ import annotations

import logging
import secrets
import select
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import connections

from django_flare.conf import flare_settings
from django_flare.store.wakeup import CHANNEL, COALESCED, notify
from django_flare.worker.lines import Line

logger = logging.getLogger("django_flare.worker")


class Waker(threading.Thread):
    """Watch for commits on a connection of its own; when that is lost, say so once and try again.

    `rely` is called with False when wake-ups are lost, with True when they work again.
    """

    name_shown: ClassVar[str]
    attention: ClassVar[float] = 0.0
    """Seconds after a wake-up in which others may have been left out."""

    def __init__(self, using: str, wake: Callable[[], object], rely: Callable[[bool], object]) -> None:
        super().__init__(name="flare-waker", daemon=True)
        self._wake = wake
        self._rely = rely
        self._using = using
        self._pause = 1.0
        self._stopped = threading.Event()
        self._patience_with_server = flare_settings().lease.total_seconds() / 3
        self._line = Line(self._alias, self._patience_with_server)

    @property
    def lines(self) -> list[Line]:
        """Its connections, for the watchdog."""
        return [self._line]

    def run(self) -> None:
        is_lost = False
        while not self._stopped.is_set():
            self._pause = 1.0
            try:
                self._open()
                if is_lost:
                    logger.info("Wake-ups work again (%s)", self.name_shown)
                    self._rely(True)
                is_lost = False
                # What was committed while nobody watched.
                self._wake()
                while not self._stopped.is_set():
                    self._watch()
            except Exception as error:
                if not is_lost:
                    logger.warning("Wake-ups are lost, polling instead (%s): %s", self.name_shown, error)
                    self._rely(False)
                    self._wake()
                is_lost = True
                self._line.drop()
                self._stopped.wait(self._pause)
        self._line.drop()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    @property
    def _alias(self) -> str:
        return self._using

    def _open(self) -> None:
        raise NotImplementedError

    def _watch(self) -> None:
        """Wait a moment for a commit and wake for it."""
        raise NotImplementedError


class NoEchoError(Exception):
    """Tell that a NOTIFY was accepted and did not arrive where LISTEN was accepted."""


class Listener(Waker):
    """LISTEN on PostgreSQL, on the alias that the setting `LISTEN` names if not on the queue's own.

    A pooler in transaction mode accepts LISTEN and never delivers anything (F43); so the listener
    begins with a NOTIFY of its own, on another connection and on a channel that nobody else uses.
    """

    name_shown = "LISTEN/NOTIFY"
    attention = 1.5 * COALESCED
    _PATIENCE = 0.5
    _ECHO_PATIENCE = 2.0
    _ECHO_AGAIN = 60.0

    def __init__(self, using: str, wake: Callable[[], object], rely: Callable[[bool], object]) -> None:
        super().__init__(using, wake, rely)
        self._sender = Line(using, self._patience_with_server)
        self._echo = f"{CHANNEL}_{secrets.token_hex(8)}"

    @property
    def lines(self) -> list[Line]:
        return [self._line, self._sender]

    @property
    def _alias(self) -> str:
        settings = flare_settings()
        return settings.listen if settings.listen and self._using == settings.database else self._using

    def _open(self) -> None:
        self._listen(self._echo)
        self._send_echo()
        self._await_echo()
        self._listen(CHANNEL)
        self._socket = select.poll()
        self._socket.register(self._driver, select.POLLIN)
        self._checked_at = time.monotonic()

    def _watch(self) -> None:
        # What has come with the answer to a statement makes no socket readable.
        for _ in self._driver.notifies(timeout=0):
            self._wake()
        # Not with that method's own timeout, which looks round ten times a second.
        self._socket.poll(1000 * self._PATIENCE)
        if time.monotonic() - self._checked_at > self._patience_with_server:
            # A half-open connection is as silent as one on which nothing happens (F24, F37).
            with self._line:
                self._driver.execute("SELECT 1")
            self._checked_at = time.monotonic()

    def _listen(self, channel: str) -> None:
        with self._line as line:
            self._driver: Any = line.driver
            self._driver.execute(f"LISTEN {channel}")

    def _send_echo(self) -> None:
        try:
            with self._sender:
                notify(self._echo, self._using)
        finally:
            self._sender.drop()

    def _await_echo(self) -> None:
        for _ in self._driver.notifies(timeout=self._ECHO_PATIENCE, stop_after=1):
            return
        self._pause = self._ECHO_AGAIN
        raise NoEchoError(
            f"no echo on database {self._alias!r}; if a pooler is between, the setting LISTEN can go past it"
        )


class FileWatcher(Waker):
    """Ask SQLite for the counter that changes with every commit of another connection."""

    name_shown = "change counter"
    _PATIENCE = 0.01

    def _open(self) -> None:
        with self._line as line:
            self._driver: Any = line.driver
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
