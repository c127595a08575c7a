"""Paused queues and real workers (spec, sections 13 and 23)."""

import pytest

from django_flare import JobState, jobs
from tests.system.support import all_in, states
from tests.testapp import system_jobs as work

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


def test_a_burst_runs_the_rest_and_ends_with_the_paused_jobs_waiting(workers):
    jobs.pause_queue("held")
    held = [jobs.enqueue(work.bare, queue="held") for _ in range(3)]
    free = jobs.enqueue(work.bare, queue="free")
    workers.burst()
    assert states(free, *held) == [JobState.SUCCEEDED] + [JobState.PENDING] * 3
    jobs.resume_queue("held")
    workers.burst()
    assert set(states(*held)) == {JobState.SUCCEEDED}


def test_a_worker_goes_on_with_a_queue_when_it_is_resumed(workers):
    jobs.pause_queue("held")
    held = jobs.enqueue(work.bare, queue="held")
    worker = workers.start()
    free = jobs.enqueue(work.bare, queue="free")
    all_in(JobState.SUCCEEDED, free)
    assert states(held) == [JobState.PENDING]
    assert jobs.explain(held).code == "queue_paused"
    jobs.resume_queue("held")
    all_in(JobState.SUCCEEDED, held)
    assert worker.is_alive


def test_explain_knows_the_live_workers(workers):
    elsewhere = jobs.enqueue(work.bare, queue="elsewhere")
    assert jobs.explain(elsewhere).code == "no_worker_for_queue"
    workers.start("--queues", "here")
    found = jobs.explain(elsewhere)
    assert (found.code, found.details["workers"]) == ("no_worker_for_queue", 1)
