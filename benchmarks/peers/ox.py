"""The same jobs for django-ox."""

from importlib import import_module
from importlib.util import find_spec

from django_ox.bulk import enqueue_many

from benchmarks import starts

task = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks").task


@task()
def noop(number: int) -> dict[str, int]:
    """Do nothing, with a result to store."""
    return {"done": number}


@task()
def tell_start(number: int) -> dict[str, int]:
    """Note the time at which the handler began."""
    return starts.note(number)


def one(number: int) -> None:
    noop.enqueue(number=number)


def many(count: int) -> int:
    """Queue `count` jobs in one call."""
    enqueue_many(noop, [((), {"number": number}) for number in range(count)])
    return count


def tell(number: int) -> None:
    tell_start.enqueue(number=number)
