"""Cursors: the place where a page ended, and for which filters that was."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

import msgspec

from django_flare.errors import FlareOptionError, option_error


class _Place(msgspec.Struct, forbid_unknown_fields=True):
    created_at: datetime
    id: int
    filters: str


def encode_cursor(created_at: datetime, key: int, filters: str) -> str:
    """Return the text by which the next page goes on after this row, for the same filters only."""
    place = msgspec.json.encode(_Place(created_at, key, filters))
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def decode_cursor(cursor: str, filters: str) -> tuple[datetime, int]:
    """Return the creation time and the key of the row that a page ended with."""
    place = _read(cursor)
    if place.filters != filters:
        raise option_error("cursor", "made for other filters", "filters_changed")
    return place.created_at, place.id


def _read(cursor: str) -> _Place:
    if not isinstance(cursor, str):
        raise option_error("cursor", f"{type(cursor).__name__}, a string", "kind")
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(text, type=_Place)
        is_aware = place.created_at.utcoffset() is not None
        # A forged time may lie outside the calendar in UTC, or have an offset that an engine does not take.
        place.created_at = place.created_at.astimezone(UTC)
    except (binascii.Error, ValueError, OverflowError, msgspec.MsgspecError):
        raise _bad() from None
    if not is_aware or not 0 <= place.id < 2**63:
        raise _bad()
    return place


def _bad() -> FlareOptionError:
    return option_error("cursor", "not one that list_jobs gave", "invalid")
