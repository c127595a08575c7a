"""F39: SQLite's one lock for the whole file, with many that want it and one that holds it for seconds."""

import sqlite3
import threading
import time

import pytest
from django.db import connection

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job
from tests.system.support import eventually
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="about SQLite's file"),
]

CALLERS, EACH = 4, 20


@pytest.fixture(params=["wal", "delete"])
def journal(transactional_db, request):
    with connection.cursor() as cursor:
        before = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    # No other connection may be open when it changes.
    connection.close()
    _set_journal(request.param)
    yield request.param
    connection.close()
    _set_journal(before)


def _set_journal(mode):
    with sqlite3.connect(connection.settings_dict["NAME"], timeout=10) as file:
        assert file.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0] == mode
    file.close()


def test_a_file_that_is_locked_for_seconds_costs_no_job_and_no_attempt(journal, workers):
    fleet = [workers.start("--concurrency", 2, flare={"LEASE": 15, "BEAT": 1}) for _ in range(4)]
    errors = []

    def call():
        try:
            for _ in range(EACH):
                jobs.enqueue(work.good)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    eventually(lambda: Job.objects.filter(state=JobState.SUCCEEDED).exists())
    _hold_the_file_for(3)
    for caller in callers:
        caller.join()
    assert errors == []
    eventually(lambda: Job.objects.filter(state=JobState.SUCCEEDED).count() == CALLERS * EACH)
    assert set(Job.objects.values_list("attempt", "losses")) == {(1, 0)}
    assert not Attempt.objects.exists()
    assert all(worker.is_alive for worker in fleet)


def _hold_the_file_for(seconds):
    file = sqlite3.connect(connection.settings_dict["NAME"], timeout=30, isolation_level=None)
    file.execute("BEGIN EXCLUSIVE")
    time.sleep(seconds)
    file.execute("COMMIT")
    file.close()
