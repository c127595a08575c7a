"""Advise how to connect to the jobs' database in production, without a connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Info, Warning
from django.db import connections

from django_flare.checks.configuration import readable_settings
from django_flare.conf import Settings

_LOCAL = frozenset({"localhost", "::1"})
_ADVICE = {
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_POOLER_PORT = "6432"
_UNUSUAL_LEVELS = frozenset({"read uncommitted", "serializable"})


def check_connection(**_: Any) -> list[CheckMessage]:
    """Check how the entry of `DATABASES` that holds the jobs connects."""
    flare = readable_settings()
    if flare is None or flare.database not in connections:
        return []
    return [*_dead_peers(flare.database), *_pooler(flare), *_isolation(flare.database)]


def _dead_peers(alias: str) -> Iterator[CheckMessage]:
    """Without these, a connection whose other end has vanished is waited on for many minutes (F37)."""
    connection = connections[alias]
    given = connection.settings_dict
    if connection.vendor != "postgresql" or not _is_remote(str(given.get("HOST") or "")):
        return
    options = given.get("OPTIONS") or {}
    missing = {name: value for name, value in _ADVICE.items() if name not in options}
    if "tcp_user_timeout" in missing or "keepalives_idle" in missing:
        yield Warning(
            f"DATABASES[{alias!r}]: a server that vanishes without a word is noticed only after many minutes",
            hint=f"Add to OPTIONS {', '.join(f'{name!r}: {value}' for name, value in missing.items())}.",
            id="django_flare.W005",
        )


def _is_remote(host: str) -> bool:
    return bool(host) and not host.startswith(("/", "@", "127.")) and host not in _LOCAL


def _pooler(flare: Settings) -> Iterator[CheckMessage]:
    """Tell a pooler by what Django's documentation asks for with one in transaction mode (F43)."""
    connection = connections[flare.database]
    given = connection.settings_dict
    looks_pooled = given.get("DISABLE_SERVER_SIDE_CURSORS") or str(given.get("PORT")) == _POOLER_PORT
    listens_there = connection.vendor == "postgresql" and flare.notify and flare.listen is None
    if looks_pooled and listens_there:
        yield Info(
            f"DATABASES[{flare.database!r}] seems to lead through a connection pooler",
            hint="In transaction mode it cannot carry LISTEN: name an alias that leads to the server directly"
            " in FLARE['LISTEN']; without it workers poll.",
            id="django_flare.I002",
        )


def _isolation(alias: str) -> Iterator[CheckMessage]:
    level = (connections[alias].settings_dict.get("OPTIONS") or {}).get("isolation_level")
    # Django takes a word on MySQL and MariaDB, psycopg's enumeration on PostgreSQL.
    name = str(getattr(level, "name", level)).lower().replace("_", " ")
    if name in _UNUSUAL_LEVELS:
        yield Info(
            f"DATABASES[{alias!r}] runs your transactions at {name.upper()}",
            hint="Workers do not mind. The verbs join your transaction: at SERIALIZABLE it may fail for a"
            " conflict and must be run again by you, at READ UNCOMMITTED they see what may be rolled back.",
            id="django_flare.I001",
        )
