"""The same no-op job for django-tasks-db."""

from importlib import import_module
from importlib.util import find_spec

# From Django 6.0 on tasks are a part of Django.
task = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks").task


@task()
def noop(number: int) -> dict[str, int]:
    """Do nothing, with a result to store."""
    return {"done": number}


def fill(count: int) -> None:
    """Queue `count` jobs, one by one: there is no other way."""
    for number in range(count):
        noop.enqueue(number=number)
