"""Where the jobs of the tests write down what they did; the rows are the evidence."""

from django.db import models
from django.db.models.functions import Now


class Ledger(models.Model):
    """One thing that happened to a run of a job: started, finished, was stopped, …"""

    job_id = models.CharField(max_length=64, db_index=True)
    attempt = models.IntegerField()
    fence = models.IntegerField(null=True)
    pid = models.IntegerField()
    event = models.CharField(max_length=32)
    at = models.DateTimeField(db_default=Now())

    def __str__(self):
        return f"{self.job_id}#{self.attempt} {self.event}"


class Effect(models.Model):
    """What a handler did to the business data, to be counted against the promises."""

    job_id = models.CharField(max_length=64, db_index=True)
    note = models.CharField(max_length=100)

    def __str__(self):
        return f"{self.job_id} {self.note}"


class Clock(models.Model):
    """The time that the database believes in while a test holds its clock; see tests/clock.py."""

    moment = models.DateTimeField()

    def __str__(self):
        return str(self.moment)
