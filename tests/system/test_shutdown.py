"""SIGTERM and SIGINT: F46. No attempt is burned, whatever the jobs do."""

import signal
import time

import pytest

from django_flare import JobState, jobs
from django_flare.models import Job, Worker
from tests.system.support import all_in, events, eventually, happened, history, row, states
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]


def _assert_given_back(job_id):
    found = row(job_id)
    assert (found.state, found.attempt, found.losses, found.worker_id) == ("pending", 0, 0, "")
    assert history(job_id) == []
    assert found.started_at is None


def test_a_running_job_finishes_and_nothing_new_begins(workers, gate):
    """SIGINT is the same as SIGTERM."""
    running = jobs.enqueue(work.hold, {"gate": gate.path})
    worker = workers.start("--concurrency", 1)
    happened("started", running)
    waiting = [jobs.enqueue(work.good) for _ in range(3)]
    worker.signal(signal.SIGINT).says("Stopping: 1 jobs in hand")
    assert worker.is_alive
    gate.open()
    assert worker.exit_code() == 0
    assert states(running) == [JobState.SUCCEEDED]
    for job_id in waiting:
        _assert_given_back(job_id)
    assert not Worker.objects.exists()


def test_the_buffer_is_handed_back_first(workers, gate):
    """F07: what was fetched ahead while jobs were short is another worker's at once."""
    quick = jobs.enqueue_many(work.quick, [{"n": n} for n in range(200)])
    jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 150, priority=-1)
    worker = workers.start("--concurrency", 2)
    all_in(JobState.SUCCEEDED, *quick)
    eventually(lambda: Job.objects.filter(job_type="system.hold", state="processing").count() >= 2)
    worker.terminate()
    eventually(lambda: Job.objects.filter(state="processing").count() == 2)
    assert worker.is_alive
    gate.open()
    assert worker.exit_code() == 0
    assert Job.objects.filter(job_type="system.hold", state="succeeded").count() == 2
    rest = Job.objects.filter(job_type="system.hold", state="pending")
    assert rest.count() == 148
    assert not rest.exclude(attempt=0, losses=0, worker_id="").exists()


def test_what_outlasts_the_timeout_is_released(workers, gate):
    stubborn = jobs.enqueue(work.hold, {"gate": gate.path})
    heeding = jobs.enqueue(work.heed, {"gate": gate.path})
    heeding_async = jobs.enqueue(work.heed_async, {"gate": gate.path})
    worker = workers.start("--shutdown-timeout", "0.5")
    happened("started", stubborn, heeding, heeding_async)
    asked = time.monotonic()
    worker.terminate()
    assert worker.exit_code() == 0
    assert time.monotonic() - asked < 12
    for job_id in (stubborn, heeding, heeding_async):
        _assert_given_back(job_id)
    assert events(stubborn) == ["started"]
    assert not Worker.objects.exists()

    gate.open()
    workers.burst()
    assert states(stubborn, heeding, heeding_async) == [JobState.SUCCEEDED] * 3
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


def test_a_second_signal_does_not_wait(workers, gate):
    stubborn = jobs.enqueue(work.hold, {"gate": gate.path})
    worker = workers.start("--shutdown-timeout", "600")
    happened("started", stubborn)
    worker.terminate().says("Stopping: 1 jobs in hand")
    worker.signal(signal.SIGINT)
    assert worker.exit_code() == 0
    _assert_given_back(stubborn)
    assert not Worker.objects.exists()
