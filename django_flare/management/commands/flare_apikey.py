"""Make, list, revoke and rotate the keys of the HTTP API."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from django_flare import values
from django_flare.conf import flare_settings
from django_flare.models.api_key import SCOPES
from django_flare.store import api_keys
from django_flare.store.api_keys import LONGEST_OVERLAP, NewKey
from django_flare.store.clock import read_now

_COLUMNS = ("NAME", "ID", "SCOPE", "STATE", "CREATED", "EXPIRES", "LAST USED")


class Command(BaseCommand):
    """Manage keys; the text of a key is shown once, when it is made or rotated."""

    help = "Manage the keys of the HTTP API. A key is shown once, alone on the last line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="create | list | revoke | rotate")
        create = verbs.add_parser("create", help="make a key and show it")
        create.add_argument("name")
        create.add_argument(
            "--scope",
            action="append",
            required=True,
            metavar="|".join(SCOPES),
            help="may be given several times; write includes read, admin includes both",
        )
        create.add_argument("--expires", help="a date (its first moment in UTC), or a time with an offset")
        verbs.add_parser("list", help="show all keys, without their secrets")
        verbs.add_parser("revoke", help="end a key at once").add_argument("name")
        rotate = verbs.add_parser("rotate", help="give a key a new secret and show it")
        rotate.add_argument("name")
        rotate.add_argument(
            "--overlap", default="0", help="seconds for which the secret before still works; default 0"
        )

    def handle(self, *, verb: str, **given: Any) -> None:
        handlers: dict[str, Callable[..., None]] = {
            "create": self._create,
            "list": self._list,
            "revoke": self._revoke,
            "rotate": self._rotate,
        }
        handlers[verb](**given)

    def _create(self, *, name: str, scope: list[str], expires: str | None, **_: Any) -> None:
        try:
            expires_at = _moment(expires)
            new = api_keys.issue(name, scope, expires_at)
        except ValidationError as error:
            raise CommandError(_said(error), returncode=1) from None
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None
        self._show(new)

    def _list(self, **_: Any) -> None:
        lines = [_COLUMNS, *map(_columns, api_keys.listed())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())

    def _revoke(self, *, name: str, **_: Any) -> None:
        if not api_keys.revoke(name):
            raise CommandError(f"name: no key {name!a:.102} that could be revoked")
        self.stdout.write(f"revoked {name}")

    def _rotate(self, *, name: str, overlap: str, **_: Any) -> None:
        new = api_keys.rotate(name, _overlap(overlap))
        if new is None:
            raise CommandError(f"name: no valid key {name!a:.102}")
        self._show(new)

    def _show(self, new: NewKey) -> None:
        until = f" until {new.key.expires_at:%Y-%m-%d %H:%M} UTC" if new.key.expires_at else ""
        self.stdout.write(f"{new.key.name}: {', '.join(new.key.scopes)}{until}. It is not shown again.")
        self.stdout.write(new.text)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if len(text) == len("2027-01-31"):
            moment = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        if moment.tzinfo is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"expires: {text!a:.40}, expected a date or a time with an offset") from None
    if moment <= read_now(flare_settings().database):
        raise ValueError(f"expires: {text}, expected a time ahead")
    return moment


def _overlap(text: str) -> timedelta:
    try:
        return values.duration(float(text), 0, LONGEST_OVERLAP)
    except ValueError:
        raise CommandError(
            f"overlap: {text!a:.40}, expected 0 to {LONGEST_OVERLAP:.0f} seconds", returncode=2
        ) from None


def _columns(key: Any) -> tuple[str, ...]:
    return (
        key.name,
        key.public_id,
        key.scope,
        _state(key),
        *(_shown(moment) for moment in (key.created_at, key.expires_at, key.last_used_at)),
    )


def _state(key: Any) -> str:
    if key.is_valid:
        return "valid"
    return "revoked" if key.revoked_at else "expired"


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"


def _said(error: ValidationError) -> str:
    field, messages = next(iter(error.message_dict.items()))
    return f"{field}: {messages[0]}"
