"""One job that ends every process that runs it, among many good ones: F45."""

from datetime import timedelta

import pytest
from django.db.models import Max

from django_flare import JobState, jobs
from django_flare.models import Job
from django_flare.worker.children import is_exiting
from tests.system.support import events, eventually, history, row, states
from tests.testapp import system_jobs as work
from tests.testapp.models import Ledger

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]

GOOD = {"kill": 1000}
"""How many good jobs there are beside a poison; 200 beside the other kinds."""
LONG_LEASE = {"LEASE": 600, "BEAT": 0.5}
"""Nobody but the supervisor can take runs back within the test."""

WAYS = {
    "exit": "exit code 0",
    "kill": "killed by SIGKILL",
    "null": "killed by SIGSEGV",
    "memory": "killed by SIGKILL",
    "stack": "killed by SIGSEGV",
    "files": "killed by SIGKILL",
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", WAYS)
def test_a_poison_job_takes_nobody_along(workers, kind):
    half = [{"seconds": 0.01}] * (GOOD.get(kind, 200) // 2)
    good = jobs.enqueue_many(work.pass_through, half)
    poison = jobs.enqueue(work.poison, {"kind": kind})
    good += jobs.enqueue_many(work.pass_through, half)
    heir = jobs.continue_with(poison, work.good)
    worker = workers.start("--concurrency", 4, flare=LONG_LEASE)
    eventually(_all_ended, timeout=150)

    assert states(poison, heir) == [JobState.DEAD_LETTER, JobState.CANCELLED]
    assert row(poison).error_message.startswith("worker_lost")
    assert history(poison) == [(1, "lost")] * 3
    assert len(events(poison, "started")) == 3
    assert set(states(*good)) == {JobState.SUCCEEDED}
    # One loss is unavoidable for those that ran beside it the first time; a suspect runs alone.
    found = Job.objects.filter(public_id__in=good)
    assert set(found.values_list("attempt", flat=True)) == {1}
    assert found.aggregate(most=Max("losses"))["most"] <= 1
    _assert_suspects_ran_alone(poison)
    assert worker.log.count(f"has died: {WAYS[kind]}") == 3, worker.log
    assert worker.is_alive
    assert worker.terminate().exit_code() == 0


def _all_ended():
    return not Job.objects.filter(state__in=["pending", "scheduled", "processing", "failed"]).exists()


def _assert_suspects_ran_alone(poison):
    """After its first loss nothing else was begun, and nothing was unfinished, when the poison ran."""
    for run in Ledger.objects.filter(job_id=poison, event="started").order_by("pk")[1:]:
        neighbours = Ledger.objects.filter(pid=run.pid).exclude(job_id=poison).order_by("pk")
        assert not neighbours.filter(pk__gt=run.pk).exists(), "a job was started beside a suspect"
        begun = neighbours.filter(event="started").count()
        assert begun == neighbours.filter(event="finished").count(), "a job ran beside a suspect"


@pytest.mark.timeout(300)
def test_what_fails_for_want_of_its_files_is_not_blamed(workers):
    """Also when the supervisor is late and cannot end the process in time."""
    neighbour = jobs.enqueue(work.wants_files)
    worker = workers.start("--concurrency", 2, flare=LONG_LEASE)
    eventually(lambda: events(neighbour, "started"))
    child = worker.child()
    worker.freeze()
    poison = jobs.enqueue(work.poison, {"kind": "files"}, max_attempts=2)
    eventually(lambda: is_exiting(child))
    worker.thaw()
    eventually(_all_ended, timeout=100)
    assert states(neighbour, poison) == [JobState.SUCCEEDED, JobState.DEAD_LETTER]
    assert history(neighbour) == [(1, "lost")]


@pytest.mark.timeout(300)
def test_suspects_get_their_turn_under_a_steady_load(workers):
    """Good jobs keep arriving while many jobs have lost their worker once."""
    # The first child dies with all its slots full and more fetched ahead.
    quick = jobs.enqueue_many(work.quick, [{"n": n} for n in range(80)])
    poison = jobs.enqueue(work.poison, {"kind": "kill"})
    jobs.enqueue_many(work.pass_through, [{"seconds": 0.01}] * 40)
    worker = workers.start("--concurrency", 4, flare=LONG_LEASE)

    def poison_is_dead_under_load():
        # As much as the slots can do, all the time.
        if Job.objects.filter(state="pending", losses=0).count() < 100:
            jobs.enqueue_many(work.pass_through, [{"seconds": 0.02}] * 100)
        return row(poison).state == JobState.DEAD_LETTER

    eventually(poison_is_dead_under_load, timeout=200)
    eventually(_all_ended, timeout=100)
    assert set(states(*quick)) == {JobState.SUCCEEDED}
    others = Job.objects.exclude(public_id=poison)
    assert set(others.values_list("state", "attempt")) == {(JobState.SUCCEEDED, 1)}
    assert others.aggregate(most=Max("losses"))["most"] <= 1
    assert len(events(poison, "started")) == 3
    assert worker.is_alive


@pytest.mark.timeout(300)
def test_a_job_with_a_single_attempt_is_not_blamed_for_its_neighbour(workers):
    """It may only be lost while it really ran."""
    once = jobs.enqueue_many(work.pass_through, [{"seconds": 0.01}] * 40, max_attempts=1)
    poison = jobs.enqueue(work.poison, {"kind": "kill"}, max_attempts=1, timeout=timedelta(seconds=30))
    workers.start("--concurrency", 1, flare=LONG_LEASE)
    eventually(_all_ended, timeout=100)
    assert set(states(*once)) == {JobState.SUCCEEDED}
    assert states(poison) == [JobState.DEAD_LETTER]
    assert events(poison, "started") == ["started"]
