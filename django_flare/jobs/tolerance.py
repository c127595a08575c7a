"""Read rows so that one which cannot be read costs itself alone (F58)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from django_flare.store.faults import is_passing

T = TypeVar("T")


@dataclass(frozen=True)
class Unreadable:
    """Stand for a row that is there and cannot be read."""

    pk: int


def is_trouble(error: Exception) -> bool:
    """Tell whether it is the connection that has failed, not what a row holds."""
    return isinstance(error, InterfaceError | OperationalError) and is_passing(error)


def read_tolerantly(rows: QuerySet[Any, T], page: QuerySet[Any, T] | None = None) -> list[T | Unreadable]:
    """Return `rows`, or the slice `page` of them, in order, with a stand-in for each that cannot be read.

    One statement while all can be read. What a foreign hand has written into a row may fail in any way;
    only trouble with the connection is raised.
    """
    page = rows if page is None else page
    try:
        return list(page)
    except Exception as error:
        if is_trouble(error):
            raise
        keys = list(page.values_list("pk", flat=True))
    return [read_alone(rows, key) for key in keys]


def read_alone(rows: QuerySet[Any, T], key: int) -> T | Unreadable:
    """Return the row with this key, or a stand-in."""
    try:
        # Without an order, which might name what cannot be read.
        found = list(rows.order_by().filter(pk=key))
    except Exception as error:
        if is_trouble(error):
            raise
        return Unreadable(key)
    return found[0] if found else Unreadable(key)


def read_columns(
    rows: QuerySet[Any, Any], key: int, columns: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return what can be read of the row with this key, column by column, and the names of the others."""
    found: dict[str, Any] = {}
    unreadable = []
    for column in columns:
        value = read_alone(rows.values_list(column), key)
        if isinstance(value, Unreadable):
            unreadable.append(column)
        else:
            (found[column],) = value
    return found, unreadable
