"""F27, F32: the clock of a worker's machine is set while it works; only the database's decides."""

import time
from datetime import timedelta

import pytest

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job, Worker
from tests.chaos.clocks import Clock
from tests.system.support import SHORT_LEASE, all_in, eventually, row
from tests.testapp import system_jobs as work

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def clock(tmp_path, database_vendor):
    if database_vendor == "sqlite":
        pytest.skip("SQLite has no clock but the machine's")
    clock = Clock(tmp_path)
    if not clock.is_there:
        pytest.skip("a clock that can be set takes a C compiler")
    return clock


@pytest.mark.parametrize("seconds", [-3600, 3600], ids=["back", "forward"])
def test_a_step_of_the_clock_stalls_no_worker_and_costs_no_lease(workers, gate, clock, seconds):
    worker = workers.start("--queues", "clocked,default", "--concurrency", 4, environment=clock.environment)
    other = workers.start("--queues", "default", "--concurrency", 2)
    held = [jobs.enqueue(work.wait, {"gate": gate.path}) for _ in range(2)]
    all_in(JobState.PROCESSING, *held)
    clock.shift(seconds)
    _all_beat_for_longer_than_a_lease()
    later = [jobs.schedule(work.clock, when=timedelta(seconds=0.5)), jobs.enqueue(work.clock)]
    all_in(JobState.SUCCEEDED, *later)
    for job_id in later:
        assert row(job_id).result - time.time() == pytest.approx(seconds, abs=60), "the clock was set"
    gate.open()
    all_in(JobState.SUCCEEDED, *held)
    assert not Attempt.objects.exists()
    assert set(Job.objects.values_list("attempt", "losses")) == {(1, 0)}
    assert len(worker.worker_ids) == len(other.worker_ids) == 1, "neither was taken for dead"


def _all_beat_for_longer_than_a_lease():
    first_beats = Worker.objects.values_list("pk", "last_beat_at")
    assert len(first_beats) == 2
    lease = timedelta(seconds=SHORT_LEASE["LEASE"])
    for pk, at in first_beats:
        eventually(Worker.objects.filter(pk=pk, last_beat_at__gt=at + lease).exists)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="about Linux")
def test_after_a_suspend_nothing_is_started_that_was_claimed_before(workers):
    """F32: the monotonic clock stands still meanwhile, and others may have had the jobs."""
    jobs.enqueue_many(work.quick, [{"n": n} for n in range(50)])
    last = jobs.enqueue(work.pass_over_an_hour)
    after = jobs.enqueue_many(work.quick, [{"n": n} for n in range(50, 100)])
    # The next beat, by which it may claim again, is a while away.
    workers.start("--concurrency", 1, flare={"BEAT": 5, "LEASE": 30})
    all_in(JobState.SUCCEEDED, last, *after)
    found = dict(Job.objects.filter(public_id__in=after).values_list("public_id", "fence"))
    assert 2 in found.values(), "none had been claimed with it"
    suspended_at = row(last).completed_at
    started = Job.objects.filter(public_id__in=after, fence=2).values_list("started_at", flat=True)
    assert min(started) > suspended_at
    assert set(Job.objects.values_list("attempt", "losses")) == {(1, 0)}
