"""Slots with handlers that do not end by themselves: told, interrupted, replaced; fit for the next job."""

import asyncio
import contextlib
import math
import threading
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, OperationalError, connection, connections
from django.db.transaction import atomic

from django_flare import job
from django_flare.errors import JobCancelled, JobTimeout
from django_flare.lifecycle.finish import NotRecordedError
from django_flare.states import Event
from django_flare.store.faults import Fault
from django_flare.worker import slot
from django_flare.worker.board import Overrun
from django_flare.worker.runs import EndReason
from django_flare.worker.slot import Slot
from django_flare.worker.slots import Slots
from tests.testapp.endless_jobs import query_for_long
from tests.testapp.models import Effect
from tests.worker.support import PATIENCE, USING, eventually, make_run

pytestmark = pytest.mark.django_db(transaction=True)

LONG_GRACE = 3600.0


class Bench:
    """Slots whose escalation a test drives by hand: their own watchdog sees no deadline pass."""

    def __init__(self, count):
        self.finished = []
        self.overran = []
        self.slots = Slots(count, USING, self.finished.append, self.overran.append)
        self.slots.start()

    def start(self, handler, *, begun=None):
        """Let a slot run the handler; return the run when the handler says that it has begun."""
        run = make_run(handler, parent_count=0)
        self.slots.put(run)
        if begun is not None:
            assert begun.wait(PATIENCE)
        return run

    def outcome(self, run):
        eventually(lambda: run in self.finished)
        return run.outcome

    def is_fit(self):
        """Tell whether the next job runs well, with the database, whether sync or not."""
        return {self.outcome(self.start(each)).event for each in (use, use_async)} == {Event.SUCCEED}


@pytest.fixture
def bench():
    benches = []

    def make(count=1):
        benches.append(Bench(count))
        return benches[-1]

    yield make
    stage.free()
    for each in benches:
        each.slots.stop(PATIENCE)


class Stage:
    """What handlers of this module tell, and what holds them."""

    def __init__(self):
        self.begun = threading.Event()
        self.go = threading.Event()
        self.seen = []

    def free(self):
        self.go.set()


stage = Stage()


@pytest.fixture(autouse=True)
def _fresh_stage():
    stage.__init__()


@job(name="slots.use")
def use(payload: dict):
    assert Effect.objects.count() == 0


@job(name="slots.use_async")
async def use_async(payload: dict):
    assert await Effect.objects.acount() == 0


@job(name="slots.loop")
def loop(payload: dict):
    stage.begun.set()
    try:
        while not stage.go.wait(0.001):
            pass
    except BaseException as error:
        stage.seen.append(error)
        raise


@job(name="slots.loop_async")
async def loop_async(payload: dict):
    stage.begun.set()
    try:
        await asyncio.sleep(3600)
    except BaseException as error:
        stage.seen.append(error)
        raise


def past_deadline(run, seconds=2):
    """Let the run's deadline have been `seconds` ago."""
    run.started_at = time.monotonic() - 30 - seconds


def asked_to_stop(run, seconds=2):
    """Let the worker have learned `seconds` ago that the run is to stop."""
    run.tell_to_end(EndReason.STOP)
    run._stop_learned_at = time.monotonic() - seconds


class TestBeforeTheStart:
    @pytest.mark.parametrize("reason", [EndReason.STOP, EndReason.LEASE_LOST, EndReason.SHUTDOWN])
    def test_a_run_that_was_told_to_end_never_starts(self, bench, reason):
        slots = bench()
        run = make_run(loop)
        run.tell_to_end(reason)
        slots.slots.put(run)
        expected = Event.STOPPED if reason is EndReason.STOP else Event.RELEASE
        assert slots.outcome(run).event is expected
        assert not stage.begun.is_set()
        assert slots.is_fit()


class TestEscalation:
    @pytest.mark.parametrize("handler", [loop, loop_async])
    def test_nothing_happens_before_the_deadline(self, bench, handler):
        slots = bench()
        run = slots.start(handler, begun=stage.begun)
        slots.slots.escalate(0)
        assert (run.end_reason, run.is_interrupted, run.outcome) == (None, False, None)
        past_deadline(run)
        slots.slots.escalate(LONG_GRACE)
        slots.outcome(run)

    @pytest.mark.parametrize("handler", [loop, loop_async])
    def test_first_the_token_alone(self, bench, handler):
        slots = bench()
        run = slots.start(handler, begun=stage.begun)
        past_deadline(run, 0.5)
        slots.slots.escalate(LONG_GRACE)
        assert (run.token.reason, run.is_interrupted) == ("timeout", False)
        past_deadline(run)
        slots.slots.escalate(LONG_GRACE)
        slots.outcome(run)

    @pytest.mark.parametrize("handler", [loop, loop_async])
    @pytest.mark.parametrize(
        ("tell", "raised", "event"),
        [(past_deadline, JobTimeout, Event.FAIL), (asked_to_stop, JobCancelled, Event.STOPPED)],
    )
    def test_then_the_handler_sees_why_it_must_end(self, bench, handler, tell, raised, event):
        slots = bench()
        run = slots.start(handler, begun=stage.begun)
        tell(run)
        slots.slots.escalate(LONG_GRACE)
        outcome = slots.outcome(run)
        assert [type(error) for error in stage.seen] == [raised]
        assert (outcome.event, outcome.timed_out) == (event, raised is JobTimeout)
        assert slots.overran == []
        assert slots.is_fit()

    @pytest.mark.parametrize("tell", [past_deadline, asked_to_stop])
    def test_at_last_it_loses_its_slot(self, bench, tell):
        slots = bench()
        run = slots.start(deaf, begun=stage.begun)
        tell(run)
        slots.slots.escalate(LONG_GRACE)
        eventually(lambda: stage.seen)
        assert run.outcome is None
        slots.slots.escalate(1)
        assert slots.overran == [run]
        outcome = slots.outcome(run)
        assert outcome.event is (Event.FAIL if tell is past_deadline else Event.STOPPED)
        # Its thread is still there, and a new one has its slot.
        assert slots.is_fit()
        assert slots.slots.stop(0.5) is False
        stage.free()
        assert eventually(lambda: slots.slots.stop(PATIENCE))
        assert run.outcome is outcome
        assert slots.finished.count(run) == 1


def test_nobody_waits_for_a_slot_that_was_given_up_a_moment_ago(bench):
    """The watchdog may be between giving it up and replacing it."""
    slots = bench().slots
    answers = []
    begun = threading.Event()
    go = threading.Event()
    run = make_run(hold_on, parent_count=0)
    hold_on_stage[:] = [begun, go]
    slots.put(run)
    assert begun.wait(PATIENCE)
    assert slots._slots[0].abandon(run)
    thread = threading.Thread(target=lambda: answers.append(slots.stop(3600)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert answers == [False]
    go.set()


def test_a_slot_that_is_replaced_during_the_stop_keeps_no_other_from_ending(bench):
    """The watchdog may have given one up before the stop and replace it after."""
    slots = bench(2).slots
    begun, go = threading.Event(), threading.Event()
    hold_on_stage[:] = [begun, go]
    slots.put(make_run(hold_on, parent_count=0))
    assert begun.wait(PATIENCE)
    given_up = next(slot for slot in slots._slots if slot.current is None)
    slots._slots.remove(given_up)
    slots._free_entries.append(given_up.entry)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(slots.stop(3600)), daemon=True)
    thread.start()
    assert slots._stopped.wait(PATIENCE)
    slots._refill()
    newest = slots._slots[-1]
    newest.join(PATIENCE)
    assert not newest.is_alive()
    go.set()
    thread.join(PATIENCE)
    assert answers == [True]


hold_on_stage = []


class TestTheBoard:
    """F49: what the supervisor can read when this process is silent."""

    def test_a_run_stands_there_from_before_its_handler_to_its_end(self, bench):
        slots = bench()
        board = slots.slots.board
        assert board.next_end == math.inf
        run = slots.start(loop, begun=stage.begun)
        over_by = run.started_at + 30 + 5
        assert board.next_end == pytest.approx(over_by)
        assert board.overruns(over_by - 0.1) == []
        assert board.overruns(over_by + 0.1) == [Overrun(7, 4, stop=False)]
        stage.free()
        slots.outcome(run)
        assert board.next_end == math.inf

    def test_a_stop_is_told(self, bench):
        slots = bench()
        run = slots.start(loop, begun=stage.begun)
        asked_to_stop(run, seconds=0)
        slots.slots.escalate(LONG_GRACE)
        board = slots.slots.board
        assert board.overruns(time.monotonic() + 5) == [Overrun(7, 4, stop=True)]

    def test_who_is_given_up_leaves_the_place_to_the_next(self, bench):
        slots = bench()
        board = slots.slots.board
        hold_on_stage[:] = begun, go = [threading.Event(), threading.Event()]
        past_deadline(slots.start(hold_on, begun=begun), seconds=60)
        slots.slots.escalate(0)
        (gone,) = slots.slots._abandoned
        assert board.next_end == math.inf
        second = slots.start(loop, begun=stage.begun)
        # The thread of the first writes nothing there when its handler ends after all.
        go.set()
        gone.join(PATIENCE)
        assert not gone.is_alive()
        assert board.next_end == pytest.approx(second.started_at + 35)


@job(name="slots.hold_on")
def hold_on():
    begun, go = hold_on_stage
    begun.set()
    go.wait(PATIENCE)


class TestWithoutRoomForThreads:
    @pytest.fixture
    def crowded(self, monkeypatch):
        """Let no thread start while it is set."""
        crowded, start = threading.Event(), Slot.start

        def start_if_there_is_room(slot):
            if crowded.is_set():
                raise RuntimeError("can't start new thread")
            start(slot)

        monkeypatch.setattr(Slot, "start", start_if_there_is_room)
        return crowded

    def overrun(self, slots):
        run = slots.start(deaf, begun=stage.begun)
        past_deadline(run)
        slots.slots.escalate(0)
        return run

    def test_the_overrunner_is_told_of_and_the_slot_comes_back(self, bench, crowded, caplog):
        slots = bench()
        crowded.set()
        run = self.overrun(slots)
        assert slots.overran == [run]
        slots.slots.escalate(LONG_GRACE)
        assert caplog.text.count("A slot has no thread, trying again and again: can't start") == 1
        crowded.clear()
        slots.slots.escalate(LONG_GRACE)
        assert slots.is_fit()
        assert slots.overran == [run]

    def test_the_stop_goes_well(self, bench, crowded):
        slots = bench()
        crowded.set()
        self.overrun(slots)
        assert slots.slots.stop(0.1) is False
        stage.free()
        assert eventually(lambda: slots.slots.stop(0.1))


def test_threads_that_have_ended_are_forgotten(bench):
    """Not only at the stop, which may be months away."""
    slots = bench()
    for _ in range(3):
        run = slots.start(deaf, begun=stage.begun)
        (thread,) = [slot for slot in slots.slots._slots if slot.current is run]
        past_deadline(run)
        slots.slots.escalate(0)
        stage.free()
        thread.join(PATIENCE)
        stage.__init__()
    assert len(slots.slots._abandoned) == 1


@job(name="slots.deaf")
def deaf(payload: dict):
    stage.begun.set()
    while True:
        # All of the waiting inside: what is raised in this thread may strike at any line.
        try:
            while not stage.go.is_set():
                stage.go.wait(0.001)
        except BaseException as error:
            stage.seen.append(error)
            continue
        break


# Coroutines


@job(name="slots.nest")
async def nest(payload: dict):
    """Await others by each of asyncio's own means; they end with the handler, not after it."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_inner("group"))
            await asyncio.gather(_inner("gather"), asyncio.wait_for(_inner("wait_for", last=True), 3600))
    except BaseException as error:
        stage.seen.append(type(error))
        raise


async def _inner(name, last=False):
    if last:
        asyncio.get_running_loop().call_soon(stage.begun.set)
    try:
        await asyncio.sleep(3600)
    finally:
        stage.seen.append(name)


class TestCoroutines:
    def test_what_a_handler_awaits_ends_before_it(self, bench):
        slots = bench()
        run = slots.start(nest, begun=stage.begun)
        past_deadline(run)
        slots.slots.escalate(LONG_GRACE)
        outcome = slots.outcome(run)
        assert sorted(stage.seen[:3]) == ["gather", "group", "wait_for"]
        # Python 3.11's TaskGroup puts it into a group.
        assert stage.seen[3] in (JobTimeout, BaseExceptionGroup)
        assert (outcome.event, outcome.timed_out) == (Event.FAIL, True)
        assert outcome.failure.summary.startswith("JobTimeout: the attempt ran longer")
        assert slots.is_fit()

    def test_one_that_was_interrupted_before_it_began_sees_it_at_once(self, bench):
        slots = bench(2)
        blocker = slots.start(block, begun=stage.begun)
        run = slots.start(loop_async)
        eventually(lambda: run.started_at)
        eventually(lambda: sum(slot.current is not None for slot in slots.slots._slots) == 2)
        past_deadline(run)
        slots.slots.escalate(LONG_GRACE)
        stage.free()
        assert slots.outcome(run).timed_out
        assert slots.outcome(blocker).event is Event.SUCCEED
        assert slots.is_fit()


@job(name="slots.block")
async def block(payload: dict):
    stage.begun.set()
    assert stage.go.wait(PATIENCE)


class TestLoops:
    """A coroutine that nothing ends may hold up all others of its loop; later ones run on another."""

    @pytest.fixture(autouse=True)
    def _no_loop_of_others(self):
        eventually(lambda: not loops())

    def abandon(self, slots, *runs):
        for run in runs:
            past_deadline(run)
        slots.slots.escalate(0)

    def test_a_loop_ends_with_its_last_run_and_so_does_the_current_one_at_the_stop(self, bench):
        slots = bench()
        for _ in range(3):
            self.abandon(slots, slots.start(block, begun=stage.begun))
            assert slots.is_fit()
            assert len(loops()) == 2
            stage.free()
            eventually(lambda: len(loops()) == 1)
            stage.__init__()
        assert slots.is_fit()
        assert slots.slots.stop(PATIENCE)
        eventually(lambda: not loops())

    def test_giving_up_a_run_of_an_older_loop_renews_no_healthy_one(self, bench):
        slots = bench(2)
        first = slots.start(block, begun=stage.begun)
        second = slots.start(loop_async)
        eventually(lambda: sum(slot.current is not None for slot in slots.slots._slots) == 2)
        self.abandon(slots, first)
        assert slots.is_fit()
        self.abandon(slots, second)
        assert slots.is_fit()
        assert len(loops()) == 2

    def test_a_neighbour_on_the_old_loop_comes_to_its_end(self, bench):
        slots = bench(2)
        neighbour = slots.start(wait_async, begun=stage.begun)
        stage.begun.clear()
        self.abandon(slots, slots.start(block, begun=stage.begun))
        stage.free()
        assert slots.outcome(neighbour).event is Event.SUCCEED


def loops():
    return [thread for thread in threading.enumerate() if thread.name == "flare-loop"]


@job(name="slots.wait_async")
async def wait_async(payload: dict):
    stage.begun.set()
    while not stage.go.is_set():
        await asyncio.sleep(0.001)


# Queries


@job(name="slots.query")
def query(payload: dict):
    connection.ensure_connection()
    stage.begun.set()
    _query()


@job(name="slots.query_async")
async def query_async(payload: dict):
    def work():
        connection.ensure_connection()
        stage.begun.set()
        _query()

    await sync_to_async(work)()


@job(name="slots.query_in_block", atomic=True)
def query_in_block(payload: dict):
    Effect.objects.create(job_id="x", note="to be rolled back")
    stage.begun.set()
    _query()


def _query():
    try:
        query_for_long()
    except BaseException as error:
        stage.seen.append(error)
        raise


@job(name="slots.connection")
def show_connection(payload: dict):
    connection.ensure_connection()
    stage.seen.append(connection.connection)


@job(name="slots.in_block", atomic=True)
def write_in_block(payload: dict):
    Effect.objects.create(job_id="x", note="to be rolled back")


@pytest.mark.parametrize("reason", [None, *EndReason])
def test_an_atomic_success_that_cannot_be_recorded_is_no_failure(bench, monkeypatch, reason):
    """Nobody but the database is to blame, so that no attempt is counted, unless the time was up."""

    def refuse(work, *_):
        with atomic():
            work()
            if reason is not None:
                run.tell_to_end(reason)
            raise NotRecordedError(Fault.CONFLICT) from OperationalError("deadlock detected")

    monkeypatch.setattr(slot, "record_with", refuse)
    slots = bench()
    run = make_run(write_in_block, parent_count=0)
    slots.slots.put(run)
    outcome = slots.outcome(run)
    assert outcome.event is (Event.FAIL if reason is EndReason.TIMEOUT else Event.RELEASE)
    assert outcome.timed_out is (reason is EndReason.TIMEOUT)
    assert Effect.objects.count() == 0


def test_an_outage_may_be_the_handlers_fault_and_hide_a_commit(bench, monkeypatch):
    """One that leaves its transaction idle for too long would be run again for ever."""

    def refuse(*_):
        raise NotRecordedError(Fault.OUTAGE) from OperationalError("terminating connection due to idle")

    monkeypatch.setattr(slot, "record_with", refuse)
    slots = bench()
    run = make_run(write_in_block, parent_count=0)
    slots.slots.put(run)
    assert slots.outcome(run).event is Event.FAIL
    assert run.uncertain


class TestQueries:
    @pytest.mark.parametrize("handler", [query, query_async, query_in_block])
    @pytest.mark.parametrize("tell", [past_deadline, asked_to_stop])
    def test_a_query_in_progress_is_cancelled_with_the_token(self, bench, handler, tell):
        slots = bench()
        run = slots.start(handler, begun=stage.begun)
        until_ended(slots, run, tell)
        assert not run.is_interrupted
        assert isinstance(stage.seen[0], DatabaseError)
        assert run.outcome.event is (Event.FAIL if tell is past_deadline else Event.STOPPED)
        assert run.outcome.timed_out is (tell is past_deadline)
        assert slots.is_fit()
        assert Effect.objects.count() == 0

    def test_a_connection_on_which_a_query_was_cancelled_serves_no_other_job(self, bench):
        """A cancel may reach the server when the query has ended; it must not meet the next one."""
        slots = bench()
        slots.outcome(slots.start(show_connection))
        slots.outcome(slots.start(show_connection))
        kept, again = stage.seen
        assert kept is again
        run = slots.start(query, begun=stage.begun)
        until_ended(slots, run, past_deadline)
        slots.outcome(slots.start(show_connection))
        assert stage.seen[-1] is not kept

    def test_another_jobs_query_goes_on(self, bench):
        slots = bench(2)
        other = slots.start(query, begun=stage.begun)
        stage.begun.clear()
        run = slots.start(query, begun=stage.begun)
        until_ended(slots, run, past_deadline)
        assert other.outcome is None
        assert other.query_cancelled_at is None
        until_ended(slots, other, past_deadline)

    def test_a_connection_of_the_pool_of_threads_is_nobodys(self, bench):
        """Another run may use it by now."""
        slots = bench()
        run = slots.start(use_both_kinds_of_thread)
        assert slots.outcome(run).event is Event.SUCCEED
        own, shared = stage.seen
        assert own in run.connections.values()
        assert shared not in run.connections.values()


@job(name="slots.use_both_kinds_of_thread")
async def use_both_kinds_of_thread(payload: dict):
    def work():
        connection.ensure_connection()
        stage.seen.append(connections[USING])

    def work_and_close():
        work()
        connection.close()

    await sync_to_async(work)()
    await sync_to_async(work_and_close, thread_sensitive=False)()


def until_ended(slots, run, tell):
    """Escalate as the watchdog does in the first second: by the token and by cancels, again and again.

    The first cancel may have come before the query.
    """

    def tick():
        tell(run, 0.1)
        if run.query_cancelled_at is not None:
            run.query_cancelled_at -= 2
        slots.slots.escalate(LONG_GRACE)
        pause.wait(0.2)
        return run in slots.finished

    pause = threading.Event()
    eventually(tick)


# Exceptions where nobody expects them (F48)


class Odd(BaseException): ...


RAISED = [SystemExit, KeyboardInterrupt, GeneratorExit, Odd]


class Raiser:
    def __init__(self, kind):
        self.kind = kind

    def __del__(self):
        raise self.kind


def generator(kind):
    try:
        yield 1
    finally:
        raise kind


def _in_a_destructor(kind):
    Raiser(kind)


def _in_a_generator(kind):
    for _ in generator(kind):
        pass


def _in_a_generators_close(kind):
    each = generator(kind)
    next(each)
    each.close()


def _in_a_generator_that_is_forgotten(kind):
    next(generator(kind))


def _in_a_thread(kind):
    def work():
        raise kind

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


REACHES = [(_in_a_generator, kind) for kind in RAISED] + [
    # To raise GeneratorExit at its close is how a generator ends well.
    (_in_a_generators_close, kind)
    for kind in RAISED
    if kind is not GeneratorExit
]


@job(name="slots.raise_somewhere")
def raise_somewhere(payload: dict):
    stage.place(stage.kind)


@job(name="slots.raise_somewhere_async")
async def raise_somewhere_async(payload: dict):
    stage.place(stage.kind)
    await asyncio.sleep(0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
class TestRaisedElsewhere:
    @pytest.mark.parametrize("handler", [raise_somewhere, raise_somewhere_async])
    @pytest.mark.parametrize(("place", "kind"), REACHES, ids=lambda each: each.__name__)
    def test_what_reaches_the_handler_fails_the_attempt(self, bench, place, kind, handler):
        stage.place, stage.kind = place, kind
        slots = bench()
        outcome = slots.outcome(slots.start(handler))
        assert outcome.event is Event.FAIL
        assert outcome.failure.error_class.rpartition(".")[2] == kind.__name__
        assert slots.is_fit()

    @pytest.mark.parametrize("handler", [raise_somewhere, raise_somewhere_async])
    @pytest.mark.parametrize("kind", RAISED)
    @pytest.mark.parametrize("place", [_in_a_destructor, _in_a_generator_that_is_forgotten, _in_a_thread])
    def test_what_does_not_reach_it_changes_nothing(self, bench, place, kind, handler):
        """Python itself only reports it."""
        stage.place, stage.kind = place, kind
        slots = bench()
        assert slots.outcome(slots.start(handler)).event is Event.SUCCEED
        assert slots.is_fit()

    @pytest.mark.parametrize("where", ["finally", "destructor"])
    def test_the_interruption_may_strike_there(self, bench, where):
        """Swallowed by a destructor it is lost, and the handler comes to its hard end."""
        stage.where = where
        slots = bench()
        run = slots.start(linger, begun=stage.begun)
        past_deadline(run)
        slots.slots.escalate(LONG_GRACE)
        if where == "destructor":
            eventually(stage.left.is_set)
            assert run.outcome is None
            slots.slots.escalate(1)
        assert slots.outcome(run).timed_out
        assert slots.is_fit()


class Lingerer:
    def __del__(self):
        _linger()
        stage.left.set()


def _linger():
    stage.begun.set()
    with contextlib.suppress(JobTimeout) if stage.where == "destructor" else contextlib.nullcontext():
        while not stage.go.wait(0.001):
            pass


@job(name="slots.linger")
def linger(payload: dict):
    stage.left = threading.Event()
    if stage.where == "destructor":
        Lingerer()
        stage.go.wait(PATIENCE)
        return
    try:
        return
    finally:
        _linger()
