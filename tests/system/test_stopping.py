"""Nothing that a worker cannot stop: every kind of endless handler, timed out and asked to stop. F04, F49."""

from datetime import timedelta

import pytest

from django_flare import JobState, jobs
from django_flare.models import Worker
from django_flare.store.clock import DatabaseNow
from tests.system.support import (
    SHORT_LEASE,
    all_in,
    attempt_of,
    events,
    eventually,
    happened,
    history,
    is_there,
    row,
    states,
)
from tests.testapp import endless_jobs as endless
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    # How a query is cancelled on each engine is in tests/worker/test_slots.py.
    pytest.mark.whole_run_on("postgres"),
]

TIMEOUT = 5
"""Seconds in which all of them come so far that nothing ends them."""
GRACE = 4
ENDS = 5
"""Seconds from the deadline, or from when a stop is learned, in which a run ends: spec 6."""
OVERRUNNER = 7
"""And in which one is recorded that does not end when told to, whatever its neighbours do: spec 6."""
ALLOWANCE = 3
"""Seconds that a noisy machine may add. All times are the rows' own, by the database's clock."""


def bound(handler):
    """Return the seconds from deadline or stop to the record."""
    return (OVERRUNNER if handler in endless.HARD else ENDS) + ALLOWANCE


def database_now():
    return Worker.objects.values_list(DatabaseNow(), flat=True).first()


def seconds_of(job_id):
    """Return how long the recorded run of the job was."""
    record = attempt_of(job_id)
    return (record.ended_at - record.started_at).total_seconds()


def enqueue_endless(handlers, gate, **options):
    payload = {"gate": gate.path}
    takes = {endless.swallow, endless.await_and_swallow}
    return {
        jobs.enqueue(each, payload if each in takes else None, max_attempts=1, **options): each
        for each in handlers
    }


def assert_slots_are_back(slots, gate):
    """Let as many jobs run at once as there are slots."""
    probes = [jobs.enqueue(work.hold, {"gate": gate.path}) for _ in range(slots)]
    happened("started", *probes)
    gate.open()
    all_in(JobState.SUCCEEDED, *probes)


class TestMatrix:
    def test_every_endless_handler_ends_and_gives_its_slot_back(self, workers, gate):
        """F49: side by side in one worker, each once past its deadline and once asked to stop."""
        every = [*endless.SOFT, *endless.HARD]
        worker = workers.start("--concurrency", 2 * len(every), flare={"TIMEOUT_GRACE": GRACE})
        first = worker.child()
        late = enqueue_endless(every, gate, timeout=timedelta(seconds=TIMEOUT))
        stopped = enqueue_endless(every, gate, timeout=timedelta(minutes=5))
        happened("started", *stopped)
        asked_at = database_now()
        assert {jobs.stop(job_id) for job_id in stopped} == {True}

        all_in(JobState.DEAD_LETTER, *late)
        for job_id, handler in late.items():
            assert history(job_id) == [(1, "timed_out")], handler
            assert TIMEOUT <= seconds_of(job_id) < TIMEOUT + bound(handler), handler
            assert row(job_id).error_message.startswith("JobTimeout: the attempt ran longer"), handler
        all_in(JobState.CANCELLED, *stopped)
        for job_id, handler in stopped.items():
            found = row(job_id)
            assert (found.error_message[:7], found.attempt, found.cancelled_by) == ("stopped", 1, None)
            assert history(job_id) == [], handler
            # It is learned with the next beat.
            seconds = (found.completed_at - asked_at).total_seconds()
            assert seconds < SHORT_LEASE["BEAT"] + bound(handler), handler
        # Only those lost their thread that left no other way.
        for job_id, handler in {**late, **stopped}.items():
            overran = f"endless.{handler.__name__} {job_id} did not end when told to" in worker.log
            assert overran == (handler in endless.HARD), handler

        assert_slots_are_back(2 * len(every), gate)
        # The threads that nothing ends are gone with their process.
        eventually(lambda: not is_there(first))
        assert worker.terminate().exit_code() == 0
        assert "Traceback" not in worker.log

    @pytest.mark.parametrize("blocker", endless.BLOCKING, ids=lambda each: each.__name__)
    def test_a_coroutine_that_blocks_the_loop_takes_the_others_with_it_and_nobody_later(
        self, workers, gate, blocker
    ):
        """F49: coroutines begin on another loop then."""
        worker = workers.start("--concurrency", 4, flare={"TIMEOUT_GRACE": 2})
        neighbour = enqueue_endless([endless.await_sleep], gate, timeout=timedelta(seconds=2))
        happened("started", *neighbour)
        late = enqueue_endless([blocker], gate, timeout=timedelta(seconds=1))
        all_in(JobState.DEAD_LETTER, *late, *neighbour)
        stopped = enqueue_endless([blocker], gate)
        happened("started", *stopped)
        assert jobs.stop(*stopped)
        all_in(JobState.CANCELLED, *stopped)
        assert [history(job_id) for job_id in [*late, *neighbour, *stopped]] == [
            [(1, "timed_out")],
            [(1, "timed_out")],
            [],
        ]
        after = jobs.enqueue(work.typed_async, PARCEL)
        all_in(JobState.SUCCEEDED, after)
        assert_slots_are_back(4, gate)
        assert worker.terminate().exit_code() == 0


LIMIT = 2
ASKED = 10
"""Seconds more that a stop takes if the process cannot learn of it: docs/how-to/stop-jobs.rst."""
UNHURRIED = {"LEASE": 30, "BEAT": 1, "TIMEOUT_GRACE": 5}
"""Nobody is killed for its silence alone, or taken for dead, in the time of a test."""


class TestTheInterpreterIsHeld:
    """F49: then no thread of the process can end anything, and only the supervisor is left."""

    def test_who_holds_it_is_timed_out_and_the_others_lose_nothing(self, workers, gate):
        worker = workers.start("--concurrency", 3, flare=UNHURRIED)
        first = worker.child()
        others = [jobs.enqueue(work.hold, {"gate": gate.path}) for _ in range(2)]
        happened("started", *others)
        late = jobs.enqueue(endless.match, timeout=timedelta(seconds=LIMIT), max_attempts=1)
        all_in(JobState.DEAD_LETTER, late)
        assert LIMIT + 5 <= seconds_of(late) < LIMIT + OVERRUNNER + ALLOWANCE
        assert (history(late), row(late).losses) == ([(1, "timed_out")], 0)
        assert row(late).error_message.startswith("JobTimeout: the attempt ran longer")
        happened("started", *others)
        gate.open()
        all_in(JobState.SUCCEEDED, *others)
        for job_id in others:
            assert events(job_id, "started") == ["started", "started"]
            assert (history(job_id), row(job_id).attempt, row(job_id).losses) == ([], 1, 0)
        assert not is_there(first)
        assert f"Process {first} is silent with a job in it past its end, and is killed" in worker.log
        assert worker.terminate().exit_code() == 0

    def test_who_holds_it_can_be_stopped(self, workers, gate):
        """Neither it nor its process can learn of the stop."""
        worker = workers.start("--concurrency", 2, flare=UNHURRIED)
        other = jobs.enqueue(work.hold, {"gate": gate.path})
        happened("started", other)
        held = jobs.enqueue(endless.match)
        child = jobs.continue_with(held, work.good)
        happened("started", held)
        asked_at = database_now()
        assert jobs.stop(held)
        all_in(JobState.CANCELLED, held, child)
        seconds = (row(held).completed_at - asked_at).total_seconds()
        assert 5 <= seconds < UNHURRIED["BEAT"] + OVERRUNNER + ASKED + ALLOWANCE
        assert (row(held).error_message, history(held)) == ("stopped", [])
        gate.open()
        all_in(JobState.SUCCEEDED, other)
        assert (history(other), row(other).attempt, row(other).losses) == ([], 1, 0)
        assert worker.terminate().exit_code() == 0


class TestWhatAHandlerHasStarted:
    def test_it_ends_with_the_process_that_is_replaced_for_its_overrun(self, workers):
        """F49: no orphan."""
        worker = workers.start(flare={"TIMEOUT_GRACE": 1})
        first = worker.child()
        late = jobs.enqueue(endless.wait_for_helper, timeout=timedelta(seconds=1), max_attempts=1)
        (event,) = eventually(lambda: events(late))
        helper = int(event.removeprefix("helper "))
        all_in(JobState.DEAD_LETTER, late)
        eventually(lambda: not is_there(first))
        eventually(lambda: not is_there(helper))


PARCEL = {
    "number": 7,
    "price": "9.99",
    "due": "2026-01-02T03:04:05Z",
    "within": "PT5M",
}


class TestStop:
    def test_a_handler_that_heeds_its_token_ends_at_once_and_cascades(self, workers, gate):
        asked = [jobs.enqueue(each, {"gate": gate.path}) for each in (work.heed, work.heed_async)]
        children = [jobs.continue_with(each, work.good) for each in asked]
        workers.start()
        happened("started", *asked)
        late_child = jobs.continue_with(asked[0], work.good)
        for job_id in asked:
            assert jobs.stop(job_id) is True
            assert jobs.cancel(job_id) is False
        all_in(JobState.CANCELLED, *asked, *children)
        eventually(lambda: states(late_child) == [JobState.CANCELLED])
        for job_id, child in zip([*asked, asked[0]], [*children, late_child], strict=True):
            status = jobs.get_status(job_id)
            assert (status.error_message, status.cancelled_by, history(job_id)) == ("stopped", None, [])
            assert jobs.get_status(child).cancelled_by == job_id
        assert [jobs.stop(job_id) for job_id in asked] == [False, False]

    def test_a_handler_that_returns_in_spite_of_it_has_succeeded(self, workers, gate):
        job_id = jobs.enqueue(work.late_but_done)
        child = jobs.continue_with(job_id, work.good)
        workers.start()
        happened("started", job_id)
        assert jobs.stop(job_id)
        all_in(JobState.SUCCEEDED, job_id, child)
        assert row(job_id).result == "in time"

    def test_what_is_raised_in_it_says_why(self, workers):
        sync, task = jobs.enqueue(work.overlong), jobs.enqueue(work.overlong_async)
        workers.start()
        happened("started", sync, task)
        assert jobs.stop(sync)
        assert jobs.stop(task)
        all_in(JobState.CANCELLED, sync, task)
        assert events(sync) == ["started", "told", "raised JobCancelled"]
        assert events(task) == ["started", "raised JobCancelled"]

    def test_a_job_whose_worker_dies_after_the_request_is_not_run_again(self, workers, gate):
        """The loss of its worker is one more end that is not a return."""
        job_id = jobs.enqueue(work.hold, {"gate": gate.path})
        child = jobs.continue_with(job_id, work.good)
        first = workers.start(flare={"BEAT": 1, "LEASE": 3})
        happened("started", job_id)
        first.freeze()
        assert jobs.stop(job_id)
        first.kill()
        workers.start()
        all_in(JobState.CANCELLED, job_id, child)
        assert (row(job_id).error_message, history(job_id)) == ("stopped", [(1, "lost")])
        assert events(job_id) == ["started"]
