"""PgBouncer in transaction mode, a pool of four, between everybody and the server: F43."""

import os

import pytest
from django.db import connection

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job, Worker
from tests import pgbouncer
from tests.system.support import (
    all_in,
    connected_by_way_of,
    database_url,
    environment_by_way_of,
    row,
)
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PgBouncer is PostgreSQL's"),
]


@pytest.fixture
def pooler(transactional_db):
    """Start a PgBouncer, through which this process goes, too."""
    if pgbouncer.program() is None:
        assert os.environ.get("FLARE_TEST_REQUIRE_ALL") != "1", "pgbouncer is not installed"
        pytest.skip("pgbouncer is not installed")
    with pgbouncer.PgBouncer(database_url()) as pooler, connected_by_way_of(pooler.port):
        yield pooler


def _no_lock_is_left():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        return cursor.fetchone() == (0,)


def test_without_another_way_it_polls(workers, pooler):
    """The worker finds out that LISTEN brings nothing, says so once, and polls as if there were none."""
    worker = workers.start("--concurrency", "8", environment=environment_by_way_of(pooler.port))
    worker.says("Wake-ups are lost, polling instead (LISTEN/NOTIFY): no echo on database 'default'")
    parents = jobs.enqueue_many(work.brief, [None] * 60)
    plain = [jobs.enqueue(work.good) for _ in range(10)]
    atomic = [jobs.enqueue(work.atomic_work) for _ in range(10)]
    bad = jobs.enqueue(work.raiser, {"error": "ValueError"}, max_attempts=1)
    children = [jobs.continue_with(parent, work.quick, {}) for parent in parents[:20]]
    all_in(JobState.SUCCEEDED, *parents, *plain, *atomic, *children)
    all_in(JobState.DEAD_LETTER, bad)
    assert not Job.objects.exclude(attempt=1, losses=0).exists()
    assert Attempt.objects.count() == 1
    assert worker.log.count("Wake-ups are lost") == 1
    assert "prepared statement" not in worker.log + row(bad).error_message
    assert _no_lock_is_left()
    assert worker.terminate().exit_code() == 0
    assert not Worker.objects.exists()


def test_wake_ups_come_by_a_direct_connection(workers, pooler):
    """The poll comes every ten minutes here, so it is not what finds the job."""
    direct = {"FLARE_TEST_DIRECT_URL": database_url()}
    worker = workers.start(
        "--poll-interval",
        "600",
        environment={**environment_by_way_of(pooler.port), **direct},
        flare={"LISTEN": "direct"},
    )
    for _ in range(3):
        job_id = jobs.enqueue(work.quick, {})
        all_in(JobState.SUCCEEDED, job_id)
    assert "Wake-ups are lost" not in worker.log
