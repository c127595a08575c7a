"""Check the settings and the entry of `DATABASES`, without a connection."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from django_flare.conf import Problem, Settings, build_settings, describe_problems, raw_settings

_UTC = frozenset({"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"})
_IN_MEMORY = (":memory:", "mode=memory")


def check_settings(**_: Any) -> list[CheckMessage]:
    """Check the dict `FLARE` and `USE_TZ`."""
    problems = describe_problems(raw_settings())
    found: list[CheckMessage] = [_setting_error(problem) for problem in problems]
    if all(problem.unknown for problem in problems):
        found += _long_grace(build_settings(raw_settings()))
    if not settings.USE_TZ:
        found.append(
            Error(
                "django_flare needs USE_TZ = True",
                hint="All times of jobs are aware.",
                id="django_flare.E003",
            )
        )
    return found


def check_database(**_: Any) -> list[CheckMessage]:
    """Check the entry of `DATABASES` that holds the jobs."""
    flare = readable_settings()
    if flare is None:
        return []
    alias = flare.database
    named = {"DATABASE": alias, "LISTEN": flare.listen or alias}
    for key, each in named.items():
        if each not in connections:
            return [_missing_database(key, each)]
    return [*_zone_errors(alias), *_sqlite_advice(alias)]


def readable_settings() -> Settings | None:
    """Return the settings, or None when `check_settings` finds them too bad to be read."""
    if any(not problem.unknown for problem in describe_problems(raw_settings())):
        return None
    return build_settings(raw_settings())


def _setting_error(problem: Problem) -> Error:
    code = "django_flare.E001" if problem.unknown else "django_flare.E002"
    return Error(problem.message, hint=problem.hint, id=code)


def _long_grace(flare: Settings) -> Iterator[CheckMessage]:
    if flare.timeout_grace > flare.lease:
        yield Warning(
            "FLARE['TIMEOUT_GRACE'] is longer than FLARE['LEASE']",
            hint="A job that ignores its timeout then holds its slot for longer than a lost worker does.",
            id="django_flare.W002",
        )


def _missing_database(key: str, alias: str) -> Error:
    near = difflib.get_close_matches(alias, list(connections), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"DATABASES holds {', '.join(connections)}."
    return Error(f"FLARE[{key!r}]: DATABASES has no {alias!r}", hint=hint, id="django_flare.E004")


def _zone_errors(alias: str) -> Iterator[CheckMessage]:
    connection = connections[alias]
    zone = connection.settings_dict.get("TIME_ZONE")
    # Where the engine stores zones, Django's own choice of zone cannot shift our times.
    if zone is None or connection.features.supports_timezones or zone in _UTC:
        return
    yield Error(
        f"DATABASES[{alias!r}]['TIME_ZONE'] is {zone!r}; the clock of jobs is UTC",
        hint="Leave TIME_ZONE out, or keep the jobs in another database with FLARE['DATABASE'].",
        id="django_flare.E005",
    )


def _sqlite_advice(alias: str) -> Iterator[CheckMessage]:
    connection = connections[alias]
    if connection.vendor != "sqlite" or any(
        mark in str(connection.settings_dict["NAME"]) for mark in _IN_MEMORY
    ):
        return
    missing = list(_missing_options(connection.settings_dict.get("OPTIONS") or {}))
    if missing:
        yield Warning(
            f"DATABASES[{alias!r}]: SQLite serves writers in parallel better with other OPTIONS",
            hint=f"Add {', '.join(missing)}.",
            id="django_flare.W001",
        )


def _missing_options(options: dict[str, Any]) -> Iterator[str]:
    if str(options.get("transaction_mode")).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
        yield '"transaction_mode": "IMMEDIATE"'
    if "timeout" not in options:
        yield '"timeout": 20'
    if "journal_mode" not in str(options.get("init_command")).lower():
        yield '"init_command": "PRAGMA journal_mode = WAL"'
