"""Two or more connections at once: actors that stop where a test wants them to, and the views on their locks.

Nothing here sleeps to wait for something: an actor is stopped at a failpoint and says so by an event; whether it
is blocked by another one's lock is asked of the database.
"""

# ruff: noqa: E501

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, connections
from django.db.models import Count, F, Q

from django_flare import failpoints, job
from django_flare.lifecycle import claim as claims
from django_flare.lifecycle import finish, housekeeping, recovery
from django_flare.lifecycle.claim import ClaimRequest
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt, Continuation, Job, Worker
from django_flare.states import BROKEN, Event, JobState
from django_flare.store.transactions import transaction

USING = "default"
LEASE = timedelta(seconds=30)
PATIENCE = 25
"""Seconds until something that does not happen is a failure; more than SQLite's busy timeout of 20."""


# --- actors -----------------------------------------------------------------------------------------------------


class Crash(Exception):
    """What a failpoint raises in the place of a process's death."""


class Actor:
    """Run `work` in a thread with a Django connection of its own, stopping at the places in `pauses`.

    `visits` says at which visit of a place it stops (1 is the first). `isolation` is the level of the host
    project's connection. `crash_at` raises at a place instead.
    """

    def __init__(self, work, *, pause_at=(), visit=1, crash_at=None, error=Crash, isolation=None):
        self._work = work
        self._places = (pause_at,) if isinstance(pause_at, str) else tuple(pause_at)
        self._visit = visit
        self._crash_at = crash_at
        self._error = error
        self._isolation = isolation
        self._visits = {}
        self._reached = {place: threading.Event() for place in self._places}
        self._go = {place: threading.Event() for place in self._places}
        self._connected = threading.Event()
        self._value = self._raised = None
        self._statement = None
        self.backend = None
        self.done = False
        self.turned_away = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        _here.actor = self
        try:
            own = connections[USING]
            if self._isolation:
                set_isolation(own, self._isolation)
            own.ensure_connection()
            self.backend = _backend(own)
            self._connected.set()
            with own.execute_wrapper(self._watch):
                self._value = self._work()
        except BaseException as error:
            self._raised = error
        finally:
            self._connected.set()
            connections.close_all()
            self.done = True

    def _watch(self, execute, sql, params, many, context):
        self._statement = sql
        try:
            return execute(sql, params, many, context)
        finally:
            self._statement = None

    def reach(self, place):
        self._visits[place] = self._visits.get(place, 0) + 1
        if self._visits[place] != self._visit:
            return
        if place == self._crash_at:
            raise self._error
        if place in self._places:
            self._reached[place].set()
            assert self._go[place].wait(PATIENCE), f"nobody let the actor go on from {place}"

    def wait_at(self, place=None):
        """Return when the actor stands at the place; fail when it ended without reaching it."""
        place = place or self._places[0]
        wait_until(lambda: self._reached[place].is_set() or self.done)
        if not self._reached[place].is_set():
            self.result()
            raise AssertionError(f"{place} was not reached")
        return self

    def go_on(self, place=None):
        self._go[place or self._places[0]].set()
        return self

    def free(self):
        for event in self._go.values():
            event.set()

    def is_blocked(self):
        """Tell whether the actor waits for a lock that another connection holds."""
        return self._connected.is_set() and not self.done and _is_blocked(self)

    def ends_or_blocks(self, *, may_block=True):
        """Wait for either; return "done" or "blocked", or "busy" when its outcome was passed over once.

        Not `may_block`: fail when it does neither, as MariaDB shows a wait also of who passes over at once.
        """
        wait_until(lambda: self.done or self.turned_away or (may_block and self.is_blocked()))
        if self.done:
            return "done"
        return "busy" if self.turned_away else "blocked"

    def join(self):
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def result(self):
        """Wait for the end; return what the work returned or raise what it raised."""
        assert self.join(), f"the actor did not end; it is in: {self._statement}"
        if self._raised is not None:
            raise self._raised
        return self._value

    def error(self):
        """Wait for the end; return what the work raised, or None."""
        assert self.join(), f"the actor did not end; it is in: {self._statement}"
        return self._raised


_here = threading.local()


def _reached(place):
    actor = getattr(_here, "actor", None)
    if actor:
        actor.reach(place)


class Stage:
    """Start actors, and let none of them outlive the test."""

    def __init__(self):
        self._actors = []

    def start(self, work, *, pause_at=(), crash_at=None, **options):
        """Start an actor; with `pause_at` return when it stands at the first of the places."""
        actor = Actor(work, pause_at=pause_at, crash_at=crash_at, **options)
        self._actors.append(actor)
        # Hooks belong to the process; each asks which actor has come.
        for place in (*actor._places, *([crash_at] if crash_at else [])):
            failpoints.activate(place, lambda place=place: _reached(place))
        actor.start()
        return actor.wait_at() if actor._places else actor

    def together(self, works, **options):
        """Run the works at the same time, none before all are connected; return their results in order."""
        barrier = threading.Barrier(len(works))

        def waiting(work):
            def run():
                barrier.wait(PATIENCE)
                return work()

            return run

        actors = [self.start(waiting(work), **options) for work in works]
        return [actor.result() for actor in actors]

    def close(self):
        for actor in self._actors:
            actor.free()
        ended = [actor.join() for actor in self._actors]
        failpoints.clear()
        assert all(ended), "an actor did not end"


def wait_until(predicate, timeout=PATIENCE):
    """Ask `predicate` again and again; fail when it is not true in time."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not predicate():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.005)


def set_isolation(own, level):
    """Let this thread's connection begin its transactions at `level`, as a host project's OPTIONS would."""
    if own.vendor == "sqlite":
        return
    own.close()
    value = level
    if own.vendor == "postgresql":
        from psycopg import IsolationLevel

        value = IsolationLevel[level.replace(" ", "_").upper()]
    settings = own.settings_dict
    own.settings_dict = {**settings, "OPTIONS": {**settings.get("OPTIONS", {}), "isolation_level": value}}


@contextmanager
def own_transaction():
    """Open a transaction as the package opens its own, so that a test can hold it open."""
    with transaction(USING):
        yield


def stop_here(place="test.here"):
    """Be a place where an actor can be stopped inside the test's own code."""
    failpoints.reach(place)


# --- the database's view on locks -------------------------------------------------------------------------------

_BACKEND = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
_BLOCKED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE pid = %s AND wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0
    """


def _backend(own):
    if own.vendor not in _BACKEND:
        return None
    with own.cursor() as cursor:
        cursor.execute(_BACKEND[own.vendor])
        return cursor.fetchone()[0]


def _is_blocked(actor):
    if connection.vendor == "sqlite":
        # SQLite has no view on its one lock. Whoever has come to take it while another holds it, waits.
        return bool(actor._statement and actor._statement.lstrip().upper().startswith(_TAKES_THE_LOCK))
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            return _mariadb_blocks(actor.backend, cursor)
        cursor.execute(_BLOCKED, [actor.backend])
        return bool(cursor.fetchone()[0])


def _mariadb_blocks(backend, cursor):
    """Read it from the monitor's text: the views on locks repeat the last answer to whoever asks within 0.1 s."""
    cursor.execute("SHOW ENGINE INNODB STATUS")
    (_, _, status) = cursor.fetchone()
    transactions = status.partition("LIST OF TRANSACTIONS")[2].split("---TRANSACTION")
    return any(f"thread id {backend}," in each and "LOCK WAIT" in each for each in transactions)


_TAKES_THE_LOCK = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE")


def cut_connection(actor):
    """Let the server end the actor's connection."""
    statement = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL CONNECTION %s"}[
        connection.vendor
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, [actor.backend])


def is_serial():
    """Tell whether the engine lets one writing transaction in at a time."""
    return connection.vendor == "sqlite"


# --- jobs and what a worker does with them ----------------------------------------------------------------------


@job(name="races.work", queue="races", max_attempts=3)
def work(payload: dict):
    """Be enqueued; no worker process runs it."""


@job(name="races.once", queue="races", max_attempts=1)
def once(payload: dict):
    """Be dead after one failure."""


TYPES = frozenset({"races.work", "races.once"})


def register(worker_id="wrk_a", *, hostname="host", pid=1):
    recovery.register(
        USING,
        id=worker_id,
        hostname=hostname,
        pid=pid,
        version="1",
        queues=[],
        job_types=[],
        slots=10,
        running=0,
    )
    return worker_id


def let_vanish(worker_id):
    """Make the worker's last beat an hour old."""
    Worker.objects.filter(pk=worker_id).update(last_beat_at=F("last_beat_at") - timedelta(hours=1))


def claim(worker_id="wrk_a", limit=100):
    return claims.claim(request(worker_id, limit), USING)


def request(worker_id="wrk_a", limit=100):
    return ClaimRequest(worker_id, ["races"], TYPES, limit)


def claim_one(job_id, worker_id="wrk_a"):
    """Claim what is claimable and return the row of the job; it must be among them."""
    (found,) = [each for each in claim(worker_id) if str(each.public_id) == str(job_id)]
    return found


def succeeded(claimed, result='{"ok": true}'):
    return Outcome(id=claimed.id, fence=claimed.fence, event=Event.SUCCEED, result=result)


def failed(claimed, message="no luck"):
    return Outcome(
        id=claimed.id, fence=claimed.fence, event=Event.FAIL, failure=describe(ValueError(message))
    )


def discarded(claimed):
    return Outcome(
        id=claimed.id, fence=claimed.fence, event=Event.EXHAUST, failure=describe(ValueError("given up"))
    )


def released(claimed):
    return Outcome(id=claimed.id, fence=claimed.fence, event=Event.RELEASE)


def left(claimed):
    return Outcome(id=claimed.id, fence=claimed.fence, event=Event.STOPPED)


def apply(*outcomes):
    return finish.apply(outcomes, USING)


def apply_until_recorded(*outcomes, write=apply):
    """Write outcomes as a worker does: those that were busy again, until none is; return the states."""
    states, left = {}, list(outcomes)
    deadline = time.monotonic() + PATIENCE
    while left:
        assert time.monotonic() < deadline, "the rows stayed busy"
        applied = write(*left)
        states.update(applied.states)
        left = applied.busy
        if left and getattr(_here, "actor", None):
            _here.actor.turned_away = True
    return states


def recover(lease=LEASE):
    return recovery.recover(lease, USING)


def repair():
    return housekeeping.repair_children(USING)


# --- evidence ---------------------------------------------------------------------------------------------------


def row(job_id):
    return Job.objects.get(public_id=job_id)


def state(job_id):
    return JobState(row(job_id).state)


def history(job_id):
    """Return the recorded runs that did not succeed, the oldest first."""
    return [
        (each.fence, each.outcome) for each in Attempt.objects.filter(job__public_id=job_id).order_by("fence")
    ]


def states():
    return dict(Job.objects.values_list("state").annotate(Count("pk")).order_by())


def assert_graph_is_settled():
    """Hold every job with parents against the rule: its state follows from theirs, and the sweeper finds nothing."""
    assert repair() == 0
    waiting = Job.objects.filter(state=JobState.SCHEDULED, parent_count__gt=0)
    assert not waiting.filter(parent_links__parent__state__in=BROKEN).exists(), (
        "a child waits for a broken parent"
    )
    for child in waiting.annotate(
        unfinished=Count("parent_links", filter=~Q(parent_links__parent__state=JobState.SUCCEEDED))
    ):
        assert child.open_parents == child.unfinished > 0, f"{child.public_id} waits for nobody"
    started = Job.objects.exclude(state__in=[JobState.SCHEDULED, JobState.CANCELLED])
    early = Continuation.objects.filter(child__in=started).exclude(parent__state=JobState.SUCCEEDED)
    assert not early.exists(), "a child became claimable before its parent succeeded"
