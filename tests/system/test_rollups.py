"""What real workers count, however they die."""

from datetime import timedelta

import pytest

from django_flare import JobState, jobs
from django_flare.models import Job, Rollup
from django_flare.models.rollup import Level
from django_flare.store import figures
from django_flare.store.clock import read_now
from tests.support import USING
from tests.system.support import eventually
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("postgres"),
]

JOBS = 300


def counts():
    return figures.count_ended(read_now(USING) - timedelta(days=1), USING)


def done():
    return Job.objects.filter(state=JobState.SUCCEEDED).count()


def test_as_many_are_counted_as_have_succeeded(workers):
    workers.options = ["--processes", 0]
    jobs.enqueue_many(work.bare, [{}] * JOBS)
    jobs.enqueue_many(work.atomic_work, [{}] * JOBS)
    for _ in range(2):
        worker, before = workers.start(), done()
        eventually(lambda before=before: done() > before or done() == 2 * JOBS)
        worker.kill()
    workers.start()
    eventually(lambda: done() == 2 * JOBS)
    assert counts() == {JobState.SUCCEEDED: 2 * JOBS}
    # The worker itself puts them together.
    eventually(lambda: not Rollup.objects.filter(level=Level.WRITTEN).exists())
    assert counts() == {JobState.SUCCEEDED: 2 * JOBS}
