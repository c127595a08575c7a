"""The business data of the campaign's project."""

from django.db import models


class Order(models.Model):
    """Stored by a caller in the transaction that enqueues its job: there is never one without the other."""

    token = models.CharField(max_length=64)

    def __str__(self):
        return self.token


class Effect(models.Model):
    """Written by a handler. Nothing is unique, so that what happens twice shows."""

    job = models.CharField(max_length=64, db_index=True)
    kind = models.CharField(max_length=16)

    def __str__(self):
        return f"{self.job} {self.kind}"
