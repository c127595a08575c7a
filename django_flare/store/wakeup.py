"""Tell idle workers that there is something to do. A hint only: polling alone is correct too."""

from __future__ import annotations

from functools import partial

from django.db import connections

from django_flare.conf import flare_settings
from django_flare.store.transactions import after_commit

CHANNEL = "django_flare"


def wake_workers(using: str) -> None:
    """Notify after the caller's commit, once per transaction, on engines that can (PostgreSQL).

    After, not inside: notifying commits queue up behind one lock of the whole server.
    """
    connection = connections[using]
    if connection.vendor != "postgresql" or not flare_settings().notify:
        return
    waiting = getattr(connection, "run_on_commit", ())
    if any(isinstance(hook, partial) and hook.func is _notify for _, hook, *_ in waiting):
        return
    after_commit(partial(_notify, using), using)


def _notify(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")
