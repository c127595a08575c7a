"""The same jobs for django-tasks-db."""

from importlib import import_module
from importlib.util import find_spec

from benchmarks import starts

# From Django 6.0 on tasks are a part of Django.
task = import_module("django.tasks" if find_spec("django.tasks") else "django_tasks").task

_COLUMNS = """
    (id, status, enqueued_at, started_at, finished_at, args_kwargs, priority, task_path, worker_ids,
     queue_name, backend_name, run_after, return_value, exception_class_path, traceback)
"""
_GIVEN = """'{"args": [], "kwargs": {"number": 1}}', 0, 'benchmarks.peers.tasks_db.noop'"""
HISTORY = (
    f"""
    INSERT INTO django_tasks_database_dbtaskresult {_COLUMNS}
    SELECT gen_random_uuid(), 'SUCCESSFUL', now(), now(), now(), {_GIVEN},
           '["w"]', 'default', 'default', now(), '1', '', ''
    FROM generate_series(1, {{finished}})
    """,
    f"""
    INSERT INTO django_tasks_database_dbtaskresult {_COLUMNS}
    SELECT gen_random_uuid(), 'READY', now(), NULL, NULL, {_GIVEN},
           '[]', 'default', 'default', now() + interval '1 day' + i * interval '1 second', NULL, '', ''
    FROM generate_series(1, {{future}}) AS i
    """,
    "VACUUM (ANALYZE) django_tasks_database_dbtaskresult",
)


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
    """Queue `count` jobs, one by one: there is no other way."""
    for number in range(count):
        one(number)
    return count


def tell(number: int) -> None:
    tell_start.enqueue(number=number)
