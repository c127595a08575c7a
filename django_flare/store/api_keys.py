"""Make the keys of the HTTP API and recognise them. A key's text is shown once and kept nowhere.

A key is `flare_<public id>_<secret>`, both hexadecimal; the secret has 32 random bytes. The row is found
by its public id; the SHA-256 of the whole text decides. A slow hash would protect no better: nobody
guesses 32 random bytes, but anybody could make the server compute it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.transaction import atomic
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_flare import values
from django_flare.conf import flare_settings
from django_flare.models import ApiKey
from django_flare.models.api_key import DIGEST_LENGTH, SCOPES
from django_flare.store.clock import DatabaseNow, now_sql, read_now
from django_flare.store.compiled import Lookup

_FORM = re.compile(r"flare_([0-9a-f]{16})_[0-9a-f]{64}", re.ASCII)
_NOBODY = "0" * DIGEST_LENGTH
"""Compared where there is nothing to compare with, so that it takes as long; no text has this digest."""
_TOUCH_PAUSE = timedelta(minutes=1)
LONGEST_OVERLAP = 30 * values.DAY


@dataclass(frozen=True, slots=True)
class NewKey:
    """Hold a key and, this once, its text."""

    key: ApiKey
    text: str = field(repr=False)


@sensitive_variables("text")
def issue(name: str, scopes: Collection[str], expires_at: datetime | None = None) -> NewKey:
    """Make a key with the highest of `scopes`, which includes the others.

    Raises ValidationError for a name that is taken or cannot be one and for an expiry that has passed,
    ValueError for a bad scope.
    """
    public_id = secrets.token_hex(8)
    text = _text(public_id)
    key = ApiKey(
        name=name,
        public_id=public_id,
        digest=_digest(text),
        scope=highest(scopes),
        created_at=DatabaseNow(),
        expires_at=expires_at,
    )
    # The time is the database's, so it is not known yet.
    key.full_clean(exclude=["created_at"])
    _insert(key, flare_settings().database)
    key.refresh_from_db()
    return NewKey(key, text)


def _insert(key: ApiKey, using: str) -> None:
    try:
        with atomic(using):
            key.save(using=using, force_insert=True)
    except IntegrityError:
        # The name was free and the time was ahead a moment ago: one of the two is so no more.
        if key.expires_at is not None and key.expires_at <= read_now(using):
            raise ValidationError({"expires_at": _("Enter a time ahead.")}) from None
        raise ValidationError({"name": key.unique_error_message(ApiKey, ("name",))}) from None


@sensitive_variables("text")
def verify(text: str) -> ApiKey | None:
    """Return the key that `text` is, or None for one that is unknown, wrong, expired or revoked.

    An unknown public id takes as long as a wrong secret. Neither a log nor an error holds the text.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    using = flare_settings().database
    key: Any = _lookup(using, now_sql(connections[using])).find(form[1], using)
    digest = _digest(text)
    # Both are compared, whatever the first says.
    is_current = secrets.compare_digest(digest, key.digest if key else _NOBODY)
    is_previous = secrets.compare_digest(digest, (key and key.previous_digest) or _NOBODY)
    if key is None or not key.is_valid:
        return None
    return key if is_current or (is_previous and key.is_overlapping) else None


@cache
def _lookup(using: str, now: str) -> Lookup[ApiKey]:
    """Look a key up as every request does; `now`, the clock's SQL, is in the query (tests replace it)."""
    return Lookup(_judged().using(using), "public_id", "\ue000")


def _keys() -> QuerySet[ApiKey]:
    return QuerySet(ApiKey, using=flare_settings().database)


def _judged() -> QuerySet[ApiKey]:
    """Return the keys with what the database's clock says of them."""
    now, minute_ago = DatabaseNow(), DatabaseNow() - _TOUCH_PAUSE
    rows: QuerySet[ApiKey] = _keys().annotate(
        is_valid=_truth(_VALID),
        is_overlapping=_truth(Q(previous_valid_until__isnull=False, previous_valid_until__gt=now)),
        was_used_lately=_truth(Q(last_used_at__isnull=False, last_used_at__gt=minute_ago)),
    )
    return rows


_VALID = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=DatabaseNow()))


def _truth(condition: Q) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(condition, output_field=BooleanField())


def touch(key: Any) -> None:
    """Note that a verified key was used; at most one write in a minute, from whatever process."""
    if key.was_used_lately:
        return
    unused = Q(last_used_at__isnull=True) | Q(last_used_at__lte=DatabaseNow() - _TOUCH_PAUSE)
    _keys().filter(unused, pk=key.pk).update(last_used_at=DatabaseNow())


def revoke(name: str) -> bool:
    """End the key at once, the one before its rotation too; tell whether this call did it."""
    return bool(
        _keys()
        .filter(name=name, revoked_at__isnull=True)
        .update(revoked_at=DatabaseNow(), previous_digest="", previous_valid_until=None)
    )


@sensitive_variables("text")
def rotate(name: str, overlap: timedelta = timedelta()) -> NewKey | None:
    """Give the key a new secret; None for a key that is unknown, expired or revoked.

    The public id stays, and with it all that hangs on it. The text before is refused at once, or
    accepted for `overlap` more; of a key that is rotated twice meanwhile only the newest before.
    """
    key = _keys().filter(_VALID, name=name).first()
    if key is None:
        return None
    text = _text(key.public_id)
    kept = {"previous_digest": key.digest, "previous_valid_until": DatabaseNow() + overlap}
    dropped = {"previous_digest": "", "previous_valid_until": None}
    # Its digest as it was read: of two that rotate at once, one gets a text that works.
    same = _keys().filter(_VALID, pk=key.pk, digest=key.digest)
    if not same.update(**(kept if overlap else dropped), digest=_digest(text)):
        return None
    key.refresh_from_db()
    return NewKey(key, text)


def listed() -> QuerySet[ApiKey]:
    """Return all keys by name, with `is_valid` as the database's clock has it."""
    return _judged().order_by("name")


def highest(scopes: Collection[str]) -> str:
    """Return the scope that includes all of `scopes`."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"{unknown[0]!a:.40}" if unknown else "none"
        raise ValueError(f"scope: {what}, expected one or several of {', '.join(SCOPES)}")
    return max(map(str, scopes), key=SCOPES.index)


def _text(public_id: str) -> str:
    return f"flare_{public_id}_{secrets.token_hex(32)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
