"""From enqueue to the final state, through a real worker process."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from django_flare import JobState, jobs
from django_flare.models import Job, Worker
from tests.support import force
from tests.system.support import NO_BACKOFF, all_in, events, eventually, history, row, states
from tests.testapp import system_jobs as work
from tests.testapp.models import Ledger

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

PARCEL = work.Parcel(
    number=7, price=Decimal("9.99"), due=datetime(2026, 3, 1, 12, 30, tzinfo=UTC), within=timedelta(hours=2)
)


class TestEveryKindOfHandler:
    def test_handlers_get_what_they_declare_and_their_results_are_kept(self, workers):
        function = jobs.enqueue(work.typed, PARCEL, tags={"customer": "42"})
        coroutine = jobs.enqueue(work.typed_async, PARCEL)
        instances = [jobs.enqueue(work.Typed, PARCEL, queue="boxes") for _ in range(3)]
        async_class = jobs.enqueue(work.TypedAsync, PARCEL)
        bare = jobs.enqueue(work.bare)
        later = jobs.schedule(work.bare, when=timedelta(hours=1))
        failing = jobs.enqueue(work.raiser, {"error": "ValueError"})
        with transaction.atomic():
            rolled_back = jobs.enqueue(work.good)
            transaction.set_rollback(True)
        nothing_to_keep = jobs.enqueue(work.unprintable_result)
        order = {"order": 12}
        chain = [jobs.enqueue(work.validate, order)]
        for step in (work.charge, work.fulfil, work.receipt):
            chain.append(jobs.continue_with(chain[-1], step))
        both = jobs.continue_with([chain[1], chain[0]], work.receipt)

        worker = workers.burst()

        everything = [function, coroutine, *instances, async_class, bare, nothing_to_keep, *chain, both]
        assert set(states(*everything)) == {JobState.SUCCEEDED}
        assert row(function).result == {
            "number": 7,
            "price": "9.99",
            "due": "2026-03-01T12:30:00+00:00",
            "tags": {"customer": "42"},
        }
        assert row(coroutine).result == [7, 7200.0]
        # A class gets a fresh instance per attempt.
        assert [row(each).result for each in instances] == [{"seen": 1, "attempt": 1, "queue": "boxes"}] * 3
        assert row(async_class).result is True
        assert (row(bare).result, row(bare).result_error) == (None, "")
        assert row(nothing_to_keep).result is None
        assert "object is not a JSON type" in row(nothing_to_keep).result_error

        # A child has its parents' results, in the order given, and starts after their success.
        assert row(chain[3]).result == [[chain[2], {"order": 12, "charged": True, "fulfilled": True}]]
        assert row(both).result == [[chain[1], {"order": 12, "charged": True}], [chain[0], {"order": 12}]]
        times = [(row(each).started_at, row(each).completed_at) for each in chain]
        assert all(ended <= started for (_, ended), (started, _) in itertools.pairwise(times))

        for job_id in everything:
            found = row(job_id)
            assert (found.attempt, found.fence, found.progress, found.error_message) == (1, 1, 1.0, "")
            assert found.worker_id == worker.worker_id
        # It has resigned, and waited for nothing that is not due.
        assert not Worker.objects.exists()
        assert states(later, failing) == [JobState.SCHEDULED, JobState.FAILED]
        assert jobs.get_status(rolled_back) is None
        assert events(rolled_back) == []


class TestWhileItRuns:
    def test_state_worker_and_progress_are_visible(self, workers, gate):
        worker = workers.start()
        # It idles by now, so a wake-up or a short poll brings it there.
        job_id = jobs.enqueue(work.halfway, {"gate": gate.path})
        eventually(lambda: jobs.get_status(job_id).progress == 0.5)
        status = jobs.get_status(job_id)
        assert (status.state, status.worker_id, status.attempt_number) == ("processing", worker.worker_id, 1)
        assert status.started_at is not None
        assert status.completed_at is None
        assert eventually(lambda: Worker.objects.get().running == 1)
        gate.open()
        all_in(JobState.SUCCEEDED, job_id)
        assert jobs.get_status(job_id).progress == 1.0


class TestWishes:
    def test_retry_snooze_discard_and_misfits(self, workers):
        """A worker that stays, since a burst does not wait for what is scheduled."""
        retried = jobs.enqueue(work.retrier, {"delay": 0.1})
        patient = jobs.enqueue(work.retrier, {"delay": 3600})
        used_up = jobs.enqueue(work.retrier, {"delay": 0}, max_attempts=1)
        snoozed = jobs.enqueue(work.snoozer, max_attempts=1)
        discarded = jobs.enqueue(work.discarder)
        orphan = jobs.continue_with(discarded, work.good)
        misfit = jobs.enqueue(work.typed, PARCEL)
        force(misfit, payload={"number": "seven"})
        unknown = jobs.enqueue(work.good)
        force(unknown, job_type="system.newcomer")
        scheduled = jobs.schedule(work.good, when=timedelta(seconds=0.5))
        far = jobs.schedule(work.good, when=timedelta(days=1))
        worker = workers.start()

        all_in(JobState.SUCCEEDED, retried, snoozed, scheduled)
        all_in(JobState.DEAD_LETTER, discarded, used_up)
        all_in(JobState.CANCELLED, orphan)
        all_in(JobState.FAILED, misfit, patient)
        assert events(retried) == ["attempt 1", "attempt 2"]
        assert (row(retried).attempt, history(retried)) == (2, [(1, "failed")])
        assert row(patient).run_at > row(patient).completed_at + timedelta(minutes=59)
        # A snooze costs no attempt, not even the only one.
        assert events(snoozed) == ["attempt 1", "attempt 1"]
        assert (row(snoozed).attempt, row(snoozed).fence, history(snoozed)) == (1, 2, [])
        assert row(discarded).error_message == "Discard: no such customer"
        assert str(row(orphan).cancelled_by) == discarded
        assert events(orphan) == []
        # F56
        assert row(misfit).error_message.startswith("FlarePayloadError: payload")
        assert history(misfit) == [(1, "failed")]
        assert row(misfit).run_at > row(misfit).completed_at
        # Promoted when it was due, not before.
        assert row(scheduled).started_at >= row(scheduled).created_at + timedelta(seconds=0.5)
        assert states(far) == [JobState.SCHEDULED]

        # F55: it is nobody's fault that this worker does not know the type.
        assert (row(unknown).state, row(unknown).attempt, row(unknown).fence) == ("pending", 0, 0)
        assert worker.terminate().exit_code() == 0
        workers.burst(environment={"FLARE_TEST_NEWCOMER": "1"})
        assert states(unknown) == [JobState.SUCCEEDED]

    def test_backoff_and_the_dead_letter(self, workers):
        doomed = jobs.enqueue(work.raiser, {"error": "ValueError"}, max_attempts=3)
        workers.start(flare=NO_BACKOFF)
        all_in(JobState.DEAD_LETTER, doomed)
        assert history(doomed) == [(1, "failed"), (2, "failed"), (3, "failed")]
        assert row(doomed).error_message == "ValueError: boom"
        assert jobs.retry(doomed)
        eventually(lambda: len(history(doomed)) == 4)
        all_in(JobState.DEAD_LETTER, doomed)
        assert (row(doomed).attempt, row(doomed).max_attempts) == (4, 4)


class TestOrder:
    def test_queues_by_preference_then_priority_then_age(self, workers):
        slow = [jobs.enqueue(work.good, queue="b", priority=100) for _ in range(3)]
        low = jobs.enqueue(work.good, queue="a", priority=-5)
        first = jobs.enqueue(work.good, queue="a")
        second = jobs.enqueue(work.good, queue="a")
        high = jobs.enqueue(work.good, queue="a", priority=90)
        other = jobs.enqueue(work.good, queue="c")
        workers.burst("--concurrency", 1, "--queues", "a,b")
        assert _order_of_starts() == [high, first, second, low, *slow]
        assert states(other) == [JobState.PENDING]
        assert row(other).attempt == 0

    def test_all_queues_in_turn(self, workers):
        """A full queue does not hold up another."""
        crowd = [jobs.enqueue(work.pass_through, {"seconds": 0.06}, queue="a") for _ in range(12)]
        jobs.enqueue(work.pass_through, {"seconds": 0.06}, queue="b")
        late = jobs.enqueue(work.pass_through, {"seconds": 0.06}, queue="c")
        workers.burst("--concurrency", 1)
        assert set(states(*crowd, late)) == {JobState.SUCCEEDED}
        assert _order_of_starts().index(late) <= 3


class TestManyJobs:
    def test_two_workers_share_five_hundred_jobs(self, workers):
        ids = jobs.enqueue_many(work.quick, [{"n": n} for n in range(500)])
        first, second = workers.start(), workers.start()
        all_in(JobState.SUCCEEDED, *ids)
        assert [row(each).result for each in ids[:5]] == [0, 1, 2, 3, 4]
        assert not Job.objects.exclude(attempt=1, fence=1).exists()
        for worker in (first, second):
            assert worker.terminate().exit_code() == 0
            assert "WARNING" not in worker.log


def _order_of_starts():
    return list(Ledger.objects.filter(event="started").order_by("pk").values_list("job_id", flat=True))
