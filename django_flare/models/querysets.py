"""Managers that stay with the queue's database, and those of job rows, which refuse to write."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from django.db import models

from django_flare.conf import flare_settings
from django_flare.errors import FlareError

ModelT = TypeVar("ModelT", bound=models.Model)


def refuse(what: str) -> NoReturn:
    """Raise the error for a write past the verbs."""
    raise FlareError(
        f"{what} would bypass the rules of the state machine; "
        "use jobs.enqueue, cancel, retry or discard instead",
        code="read_only",
    )


class ReadOnlyQuerySet(models.QuerySet[ModelT]):
    """Read rows; every writing method is refused with the verbs to use."""

    def create(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("create()")

    def get_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("get_or_create()")

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("update_or_create()")

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("bulk_create()")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("bulk_update()")

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("update()")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("delete()")


class ReadOnlyManager(models.Manager[ModelT]):
    """Read from the queue's own database, whatever a router says of reads."""

    def get_queryset(self) -> models.QuerySet[ModelT]:
        return ReadOnlyQuerySet(self.model, using=self._db or flare_settings().database)


class PinnedManager(models.Manager[ModelT]):
    """Read and write in the queue's own database, whatever a router says."""

    def get_queryset(self) -> models.QuerySet[ModelT]:
        return models.QuerySet(self.model, using=self._db or flare_settings().database)


class ReadOnlyModel(models.Model):
    """Refuse `save` and `delete` on instances as the manager does on querysets."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("save()")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse("delete()")
