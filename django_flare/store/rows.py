"""Querysets that may write, and the locks that this engine has."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import connections
from django.db.models import Model, QuerySet

from django_flare.models import Attempt, Continuation, Job, Worker

ModelT = TypeVar("ModelT", bound=Model)


def jobs(using: str) -> QuerySet[Job]:
    """Return all job rows of the database `using`, writable: `Job.objects` refuses that."""
    return QuerySet(Job, using=using)


def links(using: str) -> QuerySet[Continuation]:
    """Return all continuation rows of the database `using`, writable."""
    return QuerySet(Continuation, using=using)


def attempts(using: str) -> QuerySet[Attempt]:
    """Return all attempt rows of the database `using`, writable."""
    return QuerySet(Attempt, using=using)


def workers(using: str) -> QuerySet[Worker]:
    """Return all worker rows of the database `using`."""
    return QuerySet(Worker, using=using)


def locked(rows: QuerySet[ModelT], *, skip: bool = False) -> QuerySet[ModelT]:
    """Lock the rows that the query finds, passing over those that others hold if `skip`.

    NO KEY UPDATE where the engine has it: plain FOR UPDATE would also clash with the share that
    every open transaction holds on a row which it references by foreign key. On SQLite the
    transaction itself is the lock.
    """
    features = connections[rows.db].features
    kinds: dict[str, Any] = {}
    if features.has_select_for_no_key_update:
        kinds["no_key"] = True
    if skip and features.has_select_for_update_skip_locked:
        kinds["skip_locked"] = True
    return rows.select_for_update(of=("self",) if features.has_select_for_update_of else (), **kinds)
