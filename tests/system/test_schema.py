"""Tables in a schema of their own, whose name has to be quoted: no statement of ours names another place."""

import json
import re
from datetime import timedelta
from io import StringIO
from unittest import mock

import pytest
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job
from tests.system.support import NO_BACKOFF, all_in
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="other databases have no such schemas"),
]

SCHEMA = '"Flare\'s ""Jobs"""'
OPTIONS = {"options": "-c search_path=" + SCHEMA.replace(" ", r"\ ")}


@pytest.fixture
def schema(transactional_db):
    """Have this process use a schema of that name, with all tables by their migrations."""
    _execute(f"CREATE SCHEMA {SCHEMA}")
    try:
        with mock.patch.dict(connection.settings_dict["OPTIONS"], OPTIONS):
            connection.close()
            call_command("migrate", run_syncdb=True, verbosity=0)
            yield
    finally:
        connection.close()
        _execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def _execute(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _said_by(*command):
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()


@pytest.mark.timeout(180)
def test_everything_goes_on_in_a_schema_whose_name_is_quoted(workers, schema):
    first = jobs.enqueue(work.good, idempotency_key="once")
    assert jobs.enqueue(work.good, idempotency_key="once") == first
    many = jobs.enqueue_many(work.quick, [{"n": n} for n in range(20)])
    child = jobs.continue_with(many[:2], work.good)
    later = jobs.schedule(work.good, when=timezone.now() + timedelta(seconds=0.5))
    atomic = jobs.enqueue(work.atomic_work)
    bad = jobs.enqueue(work.raiser, {"error": "ValueError"}, max_attempts=2)
    gone = jobs.enqueue(work.good, queue="nobody")
    assert jobs.cancel(gone)
    worker = workers.start(environment={"FLARE_TEST_OPTIONS": json.dumps(OPTIONS)}, flare=NO_BACKOFF)
    all_in(JobState.SUCCEEDED, first, *many, child, later, atomic)
    all_in(JobState.DEAD_LETTER, bad)
    assert Attempt.objects.count() == 2
    assert jobs.retry(bad)
    all_in(JobState.DEAD_LETTER, bad)
    assert "wake-ups: LISTEN/NOTIFY" in worker.log
    assert worker.terminate().exit_code() == 0
    assert worker.log.count(" ERROR ") == worker.log.count("dead_letter (ValueError") == 2

    assert re.search(r"^succeeded +24$", _said_by("flare_status"), re.MULTILINE)
    assert run_checks(tags=[Tags.database], databases=["default"]) == []
    assert _said_by("flare_prune", "--dry-run") == "cancelled: 0\ndead_letter: 0\nsucceeded: 0\n"
    assert Job.objects.count() == 26
    _execute("SET search_path TO public")
    assert Job.objects.count() == 0
