"""Why is it not running: the first reason that holds (spec, section 4)."""

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_flare import FlareNotFoundError, JobState, jobs
from django_flare.lifecycle import claim, recovery
from django_flare.lifecycle.claim import ClaimRequest
from django_flare.models import Queue, Worker
from django_flare.status import Explanation, Reason
from tests.support import USING, Driver, force, make_job, row
from tests.testapp.jobs import once, plain

pytestmark = pytest.mark.django_db

PLAIN = "tests.testapp.jobs.plain"


def register(worker_id="wrk_a", *, queues=(), job_types=(PLAIN,), slots=10, running=0):
    recovery.register(
        USING,
        id=worker_id,
        hostname="host",
        pid=1,
        version="1",
        queues=list(queues),
        job_types=list(job_types),
        slots=slots,
        running=running,
    )


def claimed(worker_id, *, is_idle):
    request = ClaimRequest(worker_id, ["mail"], [PLAIN], limit=1, free_slots=1, is_idle=is_idle)
    return [str(each.public_id) for each in claim.claim(request, USING)]


def code(job):
    return jobs.explain(job).code


@pytest.mark.parametrize("unknown", ["", "nonsense", str(uuid.uuid4()), uuid.uuid4()])
def test_an_unknown_id(unknown):
    with pytest.raises(FlareNotFoundError):
        jobs.explain(unknown)


class TestFinal:
    def test_succeeded(self):
        job, driver = make_job(), Driver()
        driver.succeed(job)
        found = jobs.explain(job)
        assert found.code == "final"
        assert found.details == {"state": "succeeded", "completed_at": row(job).completed_at}
        assert "succeeded" in found.message

    def test_cancelled_by_its_parent(self):
        parent = make_job(once)
        child = make_job(parents=parent)
        Driver().fail(parent)
        assert code(parent) == Reason.FINAL
        found = jobs.explain(child)
        assert (found.code, found.details["cancelled_by"]) == (Reason.FINAL, parent)
        assert parent in found.message


class TestProcessing:
    def test_running(self):
        job, driver = make_job(), Driver("wrk_a")
        driver.start(job)
        found = jobs.explain(job)
        assert found.code == "running"
        assert found.details == {"worker_id": "wrk_a", "started_at": row(job).started_at, "attempt": 1}
        assert "wrk_a" in found.message

    def test_asked_to_stop(self):
        job, driver = make_job(), Driver("wrk_a")
        driver.request_stop(job)
        found = jobs.explain(job)
        assert (found.code, found.details["worker_id"]) == (Reason.STOP_REQUESTED, "wrk_a")

    def test_whatever_became_of_its_queue(self):
        job, driver = make_job(queue="mail"), Driver()
        driver.start(job)
        jobs.pause_queue("mail")
        assert code(job) == Reason.RUNNING


class TestWaiting:
    def test_for_parents_that_have_not_succeeded(self):
        parents = [make_job() for _ in range(3)]
        child = make_job(parents=parents)
        Driver().succeed(parents[1])
        found = jobs.explain(child)
        assert found.code == "waiting_for_parents"
        assert found.details == {"parent_job_ids": [parents[0], parents[2]], "count": 2}
        assert "2 parents" in found.message
        assert parents[0] in found.message

    def test_for_many_parents_names_ten_and_counts_all(self):
        parents = [make_job() for _ in range(13)]
        found = jobs.explain(make_job(parents=parents))
        assert found.details == {"parent_job_ids": parents[:10], "count": 13}
        assert "and 3 more" in found.message

    def test_for_a_parent_that_will_be_retried(self):
        parent = make_job()
        child = make_job(parents=parent)
        Driver().fail(parent)
        assert code(child) == Reason.WAITING_FOR_PARENTS

    def test_for_parents_before_its_time(self):
        parent = make_job()
        child = make_job(parents=parent, when=timedelta(hours=1))
        assert code(child) == Reason.WAITING_FOR_PARENTS
        Driver().succeed(parent)
        assert code(child) == Reason.SCHEDULED_UNTIL

    def test_for_its_time(self):
        job = make_job(when=timedelta(hours=1))
        found = jobs.explain(job)
        assert (found.code, found.details) == ("scheduled_until", {"run_at": row(job).run_at})

    def test_for_its_time_in_a_paused_queue(self):
        job = make_job(queue="mail", when=timedelta(hours=1))
        jobs.pause_queue("mail")
        assert code(job) == Reason.SCHEDULED_UNTIL

    def test_for_the_retry(self):
        job = make_job()
        Driver().fail(job)
        found = jobs.explain(job)
        assert found.code == "retry_at"
        assert found.details == {"run_at": row(job).run_at, "attempt": 1, "max_attempts": 3}
        assert "Attempt 1 of 3" in found.message

    def test_no_longer_when_it_is_due(self, clock):
        """A worker makes it pending within moments, so what matters is what comes then."""
        scheduled, failed = make_job(queue="mail", when=timedelta(hours=1)), make_job(queue="mail")
        Driver().fail(failed)
        clock.advance(3600)
        assert (code(scheduled), code(failed)) == (Reason.NO_WORKER_FOR_QUEUE,) * 2
        jobs.pause_queue("mail")
        assert (code(scheduled), code(failed)) == (Reason.QUEUE_PAUSED,) * 2
        assert (row(scheduled).state, row(failed).state) == (JobState.SCHEDULED, JobState.FAILED)


class TestPending:
    def test_in_a_paused_queue(self):
        job = make_job(queue="mail")
        jobs.pause_queue("mail")
        found = jobs.explain(job)
        assert found.code == "queue_paused"
        assert found.details == {"queue": "mail", "paused_at": Queue.objects.get().paused_at}
        jobs.resume_queue("mail")
        assert code(job) == Reason.NO_WORKER_FOR_QUEUE

    def test_without_any_worker(self):
        found = jobs.explain(make_job(queue="mail"))
        assert found.code == "no_worker_for_queue"
        assert found.details == {"queue": "mail", "workers": 0}

    def test_without_a_worker_of_its_queue(self):
        register(queues=["other", "mail2"])
        found = jobs.explain(make_job(queue="mail"))
        assert found.code == "no_worker_for_queue"
        assert found.details == {"queue": "mail", "workers": 1}
        assert "mail" in found.message

    def test_without_a_worker_of_its_type(self):
        """F55: nothing failed, the old workers leave it alone."""
        register("wrk_old", job_types=["something.else"])
        register("wrk_other", queues=["other"])
        found = jobs.explain(make_job(queue="mail"))
        assert found.code == "no_worker_knows_type"
        assert found.details == {"queue": "mail", "job_type": PLAIN, "workers": 1}
        assert PLAIN in found.message

    def test_with_all_fitting_workers_busy(self):
        register("wrk_a", slots=4, running=4)
        register("wrk_b", queues=["mail"], slots=2, running=7)
        register("wrk_idle", queues=["other"])
        register("wrk_old", job_types=[])
        found = jobs.explain(make_job(queue="mail"))
        assert found.code == "workers_busy"
        facts = {"queue": "mail", "job_type": PLAIN, "workers": 2, "slots": 6, "running": 11}
        assert found.details == facts

    def test_that_lost_its_worker_and_waits_for_an_idle_one(self):
        """The claim refuses it to a worker that runs anything (F45)."""
        register("wrk_a", slots=4, running=1)
        register("wrk_b", queues=["mail"], slots=2, running=1)
        register("wrk_idle", queues=["other"])
        job = make_job(queue="mail")
        assert code(job) == Reason.CLAIMABLE
        force(job, losses=1)
        found = jobs.explain(job)
        assert found.code == "workers_busy"
        facts = {"queue": "mail", "job_type": PLAIN, "workers": 2, "slots": 6, "running": 2, "losses": 1}
        assert found.details == facts
        assert "lost its worker before" in found.message
        assert claimed("wrk_b", is_idle=False) == []
        Worker.objects.filter(pk="wrk_b").update(running=0)
        assert code(job) == Reason.CLAIMABLE
        assert claimed("wrk_b", is_idle=True) == [job]

    def test_with_nothing_in_the_way(self):
        register("wrk_a", slots=4, running=4)
        register("wrk_b", queues=["mail"], slots=2, running=1)
        job = make_job(queue="mail")
        found = jobs.explain(job)
        assert found.code == "claimable"
        assert found.details == {"queue": "mail", "job_type": PLAIN, "workers": 2, "slots": 6}
        assert Driver("wrk_c").start(job)

    def test_a_worker_that_has_not_beaten_for_the_lease_does_not_count(self, clock):
        register()
        job = make_job()
        clock.advance(30)
        assert code(job) == Reason.CLAIMABLE
        clock.advance(1)
        assert code(job) == Reason.NO_WORKER_FOR_QUEUE
        assert Worker.objects.count() == 1


class TestTheExplanation:
    def test_is_json_by_as_dict(self):
        job = make_job(when=timedelta(hours=1))
        found = jobs.explain(job).as_dict()
        assert json.loads(json.dumps(found)) == found
        assert found["code"] == "scheduled_until"
        assert found["details"]["run_at"].endswith("Z")

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            Explanation(Reason.FINAL, "", {}).code = Reason.RUNNING

    def test_survives_a_corrupted_row(self):
        job = make_job()
        force(job, job_type="gone", payload="{")
        assert code(job) == Reason.NO_WORKER_FOR_QUEUE

    @pytest.mark.parametrize("many", [1, 60])
    def test_takes_the_same_few_statements_for_few_and_many(self, many):
        for number in range(many):
            register(f"wrk_{number}")
        waiting, claimable = make_job(parents=[make_job() for _ in range(many)]), make_job()
        for job, most in ((waiting, 2), (claimable, 3)):
            with CaptureQueriesContext(connection) as captured:
                jobs.explain(job)
            assert len(captured) <= most

    def test_writes_nothing(self):
        job = jobs.enqueue(plain)
        before = row(job).__dict__ | {"_state": None}
        jobs.explain(job)
        assert row(job).__dict__ | {"_state": None} == before
