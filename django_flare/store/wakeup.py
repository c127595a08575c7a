"""Tell idle workers that there is something to do. A hint only: polling alone is correct too."""

from __future__ import annotations

import time
from functools import partial

from django.db import connections

from django_flare.conf import flare_settings
from django_flare.store.transactions import after_commit

CHANNEL = "django_flare"
COALESCED = 0.01
"""Seconds after a NOTIFY in which this process sends no other: who is woken looks again that long."""

_sent: dict[str, float] = {}


def wake_workers(using: str) -> None:
    """Notify after the caller's commit, once per transaction, on engines that can (PostgreSQL).

    After, not inside: notifying commits queue up behind one lock of the whole server. One NOTIFY
    stands for all commits of the next 10 ms, since a round trip of its own costs a third of an enqueue.
    """
    connection = connections[using]
    if connection.vendor != "postgresql" or not flare_settings().notify:
        return
    waiting = getattr(connection, "run_on_commit", ())
    if any(isinstance(hook, partial) and hook.func is _notify for _, hook, *_ in waiting):
        return
    after_commit(partial(_notify, using), using)


def notify(channel: str, using: str) -> None:
    """Send an empty notification on `channel`."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"NOTIFY {channel}")


def _notify(using: str) -> None:
    now = time.monotonic()
    if 0 <= now - _sent.get(using, -COALESCED) < COALESCED:
        return
    notify(CHANNEL, using)
    _sent[using] = now
