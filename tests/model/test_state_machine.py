"""Random histories against a plain model (spec, sections 2, 5, 6 and 7; reliability 3.2, L1).

After each step every row must be what the model says, every change one that the table of states allows, and
no child may wait under a parent that is broken. `FLARE_MODEL_EXAMPLES` asks for more histories than the usual
250 (60 on a server), `FLARE_MODEL_SEED` for those of a run that failed.
"""

import os
import random
from collections import defaultdict
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_flare import FlareConflictError, JobState, jobs
from django_flare.lifecycle import claim, finish, housekeeping, recovery, retention
from django_flare.lifecycle.claim import ClaimRequest
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt, Job
from django_flare.states import TRANSITIONS, Event
from django_flare.store import workers
from tests.clock import TestClock, stopped_clock
from tests.model.model import (
    BASE,
    BROKEN,
    CANCELLED,
    DEAD_LETTER,
    FAILED,
    PENDING,
    PROCESSING,
    SCHEDULED,
    SUCCEEDED,
    Model,
)
from tests.support import USING
from tests.testapp.jobs import plain

LEASE = 30
# Few jobs that much happens to find more than many that hardly meet.
MOST_JOBS = 9
TYPE = "tests.testapp.jobs.plain"
ALLOWED = {
    (source, target) for row in TRANSITIONS.values() for source in row.sources for target in row.targets
}
LOOPS = {(state, state) for state in JobState}


class JobHistories(RuleBasedStateMachine):
    """Do at random what callers, workers and time do, and compare with the model."""

    def __init__(self):
        super().__init__()
        # Rolled back at the end of each history, so that the next begins with an empty table.
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.clock = TestClock()
        self.clock.write()
        self.started = self.clock.now
        self.model = Model()
        self.before = {}
        self.number = 0
        for _ in range(2):
            self.hire()

    def teardown(self):
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    def hire(self):
        self.number += 1
        worker = f"wrk_{self.number}"
        recovery.register(
            USING,
            id=worker,
            hostname="h",
            pid=1,
            version="0",
            queues=[],
            job_types=[TYPE],
            slots=1,
            running=0,
        )
        self.model.workers[worker] = self.model.now
        return worker

    def pick(self, index, names):
        return names[index % len(names)]

    def pick_parents(self, indexes):
        names = list(self.model.jobs)
        return list(dict.fromkeys(names[index % len(names)] for index in indexes))

    def has_room(self):
        return len(self.model.jobs) < MOST_JOBS

    # Creating

    @precondition(has_room)
    @rule(max_attempts=st.integers(1, 3), priority=st.integers(-1, 1))
    def enqueue(self, max_attempts, priority):
        name = jobs.enqueue(plain, max_attempts=max_attempts, priority=priority)
        self.model.add(name, max_attempts=max_attempts, priority=priority)

    @precondition(has_room)
    @rule(key=st.sampled_from("ab"), body=st.integers(0, 1), many=st.booleans())
    def enqueue_with_key(self, key, body, many):
        known = self.model.keys.get(key)

        def create():
            if many:
                return jobs.enqueue_many(plain, [{"body": body}] * 2, idempotency_key=lambda _: key)[1]
            return jobs.enqueue(plain, {"body": body}, idempotency_key=key)

        if known and known[1] != body:
            with pytest.raises(FlareConflictError):
                create()
            return
        name = create()
        if known:
            assert name == known[0]
        else:
            self.model.keys[key] = (name, body)
            self.model.add(name)

    @precondition(has_room)
    @rule(seconds=st.integers(-5, 60))
    def schedule(self, seconds):
        name = jobs.schedule(plain, when=timedelta(seconds=seconds))
        self.model.add(name, run_at=self.model.now + seconds)

    @precondition(lambda self: self.model.jobs and self.has_room())
    @rule(
        indexes=st.lists(st.integers(0, 30), min_size=1, max_size=3),
        seconds=st.one_of(st.none(), st.integers(0, 60)),
        max_attempts=st.integers(1, 2),
    )
    def continue_with(self, indexes, seconds, max_attempts):
        parents = self.pick_parents(indexes)
        when = None if seconds is None else timedelta(seconds=seconds)
        name = jobs.continue_with(parents, plain, when=when, max_attempts=max_attempts)
        run_at = None if seconds is None else self.model.now + seconds
        self.model.add(name, parents=tuple(parents), run_at=run_at, max_attempts=max_attempts)

    # Running

    @rule(worker=st.integers(0, 9), limit=st.integers(1, 4))
    def claim(self, worker, limit):
        name = self.pick(worker, list(self.model.workers))
        claimed = claim.claim(ClaimRequest(name, ["default"], {TYPE}, limit), USING)
        assert [str(run.public_id) for run in claimed] == self.model.claim(name, limit)

    @precondition(lambda self: self.model.in_state(PROCESSING))
    @rule(
        endings=st.lists(
            st.tuples(
                st.integers(0, 30),
                st.sampled_from(
                    [
                        Event.SUCCEED,
                        Event.SUCCEED,
                        Event.FAIL,
                        Event.EXHAUST,
                        Event.SNOOZE,
                        Event.RELEASE,
                        Event.STOPPED,
                    ]
                ),
                st.integers(0, 40),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda ending: ending[0],
        ),
    )
    def finish(self, endings):
        chosen = {}
        for index, event, delay in endings:
            name = self.pick(index, self.model.in_state(PROCESSING))
            needed = event is Event.SNOOZE or (event is Event.FAIL and delay % 2)
            chosen[name] = (name, event, delay if needed else None)
        applied = finish.apply([self.outcome(*ending) for ending in chosen.values()], USING)
        self.model.flush(list(chosen.values()))
        assert (len(applied.states), applied.busy, applied.refused) == (len(chosen), [], [])

    @precondition(lambda self: self.model.in_state(PENDING) and not self.model.is_paused)
    @rule(
        worker=st.integers(0, 9),
        event=st.sampled_from(
            [Event.SUCCEED, Event.SUCCEED, Event.FAIL, Event.EXHAUST, Event.LOSE, Event.LOSE]
        ),
    )
    def run_the_next_job_to_its_end(self, worker, event):
        self.claim(worker, 1)
        self.every_row_is_what_the_model_says()
        name = max(self.model.in_state(PROCESSING), key=lambda name: self.model.jobs[name]["claimed"])
        assert finish.apply([self.outcome(name, event, None)], USING).refused == []
        self.model.flush([(name, event, None)])

    @precondition(lambda self: any(job["fence"] for job in self.model.jobs.values()))
    @rule(index=st.integers(0, 30), event=st.sampled_from(list(Event)), age=st.integers(0, 3))
    def finish_with_an_old_fence(self, index, event, age):
        if event not in finish_events():
            return
        name = self.pick(index, [name for name, job in self.model.jobs.items() if job["fence"]])
        job = self.model.jobs[name]
        if job["state"] is PROCESSING and not age:
            return
        outcome = self.outcome(name, event, 5, fence=job["fence"] - age)
        assert finish.apply([outcome], USING).refused == [outcome]

    def outcome(self, name, event, delay, fence=None):
        row = self.rows()[name]
        failure = describe(ValueError("boom")) if event in (Event.FAIL, Event.EXHAUST) else None
        return Outcome(
            id=row["id"],
            fence=row["fence"] if fence is None else fence,
            event=event,
            delay=None if delay is None else float(delay),
            failure=failure,
        )

    # Time, and workers that vanish

    @rule(seconds=st.sampled_from([1, 5, 15, 40, 130]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        self.model.now += seconds
        for worker in self.model.workers:
            assert recovery.beat(worker, 0, USING).alive

    @rule()
    def promote(self):
        due = self.model.due()
        assert housekeeping.promote_due(USING) == len(due)
        for name in due:
            self.model.make_pending(name)

    @rule(index=st.integers(0, 9), orphan=st.booleans())
    def lose_a_worker(self, index, orphan):
        lost = self.pick(index, list(self.model.workers))
        held = [name for name, job in self.model.jobs.items() if self.holds(lost, job)]
        del self.model.workers[lost]
        if not orphan:
            self.time_passes(LEASE + 1)
        else:
            workers.unregister(lost, USING)
        assert recovery.recover(timedelta(seconds=LEASE), USING) == len(held)
        self.model.flush([(name, Event.LOSE, None) for name in held])
        assert not recovery.beat(lost, 0, USING).alive
        self.hire()

    @rule(index=st.integers(0, 9), event=st.sampled_from([Event.LOSE, Event.RELEASE]))
    def a_supervisor_sees_a_process_end(self, index, event):
        ended = self.pick(index, list(self.model.workers))
        held = [name for name, job in self.model.jobs.items() if self.holds(ended, job)]
        del self.model.workers[ended]
        assert recovery.recover_worker(ended, event, USING) == len(held)
        self.model.flush([(name, event, None) for name in held])
        self.hire()

    @rule(index=st.integers(0, 9))
    def a_worker_resigns(self, index):
        resigned = self.pick(index, list(self.model.workers))
        held = [name for name, job in self.model.jobs.items() if self.holds(resigned, job)]
        del self.model.workers[resigned]
        recovery.resign(resigned, USING)
        self.model.flush([(name, Event.RELEASE, None) for name in held])
        self.hire()

    def holds(self, worker, job):
        return job["state"] is PROCESSING and job["worker"] == worker

    # Operators

    @precondition(lambda self: self.model.jobs)
    @rule(index=st.integers(0, 30))
    def cancel(self, index):
        name = self.pick(index, list(self.model.jobs))
        allowed = self.model.jobs[name]["state"] in {PENDING, SCHEDULED}
        assert jobs.cancel(name) is allowed
        if allowed:
            self.model.end(name, CANCELLED)

    @precondition(lambda self: self.model.jobs)
    @rule(index=st.integers(0, 30))
    def discard(self, index):
        name = self.pick(index, self.model.in_state(FAILED) or list(self.model.jobs))
        allowed = self.model.jobs[name]["state"] is FAILED
        assert jobs.discard(name) is allowed
        if allowed:
            self.model.end(name, DEAD_LETTER)

    @precondition(lambda self: self.model.jobs)
    @rule(index=st.integers(0, 30), revive=st.booleans(), any_state=st.booleans())
    def retry(self, index, revive, any_state):
        candidates = self.model.in_state(FAILED, DEAD_LETTER)
        name = self.pick(index, list(self.model.jobs) if any_state or not candidates else candidates)
        assert jobs.retry(name, revive=revive) is self.model.retry(name, revive)

    @rule(pause=st.sampled_from([True, False, False]))
    def pause_or_resume(self, pause):
        change = jobs.pause_queue if pause else jobs.resume_queue
        assert change("default") is (pause is not self.model.is_paused)
        self.model.is_paused = pause

    @precondition(lambda self: self.model.jobs)
    @rule(index=st.integers(0, 30))
    def explain(self, index):
        name = self.pick(index, list(self.model.jobs))
        assert jobs.explain(name).code in self.model.explain(name)

    @precondition(lambda self: self.model.jobs)
    @rule(index=st.integers(0, 30), any_state=st.booleans())
    def stop(self, index, any_state):
        running = self.model.in_state(PROCESSING)
        name = self.pick(index, list(self.model.jobs) if any_state or not running else running)
        allowed = self.model.jobs[name]["state"] is PROCESSING
        assert jobs.stop(name) is allowed
        if allowed:
            self.model.jobs[name]["stop"] = True

    @rule(keep=st.sampled_from([0, 10, 100]))
    def prune(self, keep):
        ages = {state: timedelta(seconds=keep) for state in (SUCCEEDED, CANCELLED, DEAD_LETTER)}
        assert retention.prune(ages, USING) == len(self.model.prune(keep))

    @precondition(lambda self: self.model.jobs)
    @rule(index=st.integers(0, 30), old=st.booleans(), value=st.sampled_from([0.25, 0.5, 0.75]))
    def report_progress(self, index, old, value):
        name = self.pick(index, self.model.in_state(PROCESSING) or list(self.model.jobs))
        row = self.rows()[name]
        housekeeping.record_progress({(row["id"], row["fence"] - old): value}, USING)
        accepted = row["state"] == PROCESSING and not old
        assert self.rows()[name]["progress"] == (value if accepted else row["progress"])

    @rule()
    def repair_finds_nothing(self):
        assert housekeeping.repair_children(USING) == 0

    # What must hold after each step

    def rows(self):
        return {str(row["public_id"]): row for row in Job.objects.order_by("pk").values()}

    @invariant()
    def every_row_is_what_the_model_says(self):
        rows = self.rows()
        assert list(rows) == list(self.model.jobs)
        self._take_over_causes(rows)
        for name, job in self.model.jobs.items():
            row = rows[name]
            found = {
                "state": JobState(row["state"]),
                "run_at": (row["run_at"] - self.started).total_seconds(),
                "max_attempts": row["max_attempts"],
                "attempt": row["attempt"],
                "fence": row["fence"],
                "losses": row["losses"],
                "cancelled_by": row["cancelled_by"] and str(row["cancelled_by"]),
                "stop": row["stop_requested"],
            }
            assert found == {field: job[field] for field in found}, name
        self._changes_are_allowed(rows)
        self._columns_fit_the_states(rows)

    def _take_over_causes(self, rows):
        # Parents come before children in this order, so their causes are settled already.
        for name in [name for name in self.model.jobs if name in self.model.free_causes]:
            named = rows[name]["cancelled_by"]
            assert named is not None, name
            assert str(named) in self.model.root_causes(name), name
            self.model.jobs[name]["cancelled_by"] = str(UUID(str(named)))
        self.model.free_causes.clear()

    def _changes_are_allowed(self, rows):
        for name, row in rows.items():
            state = JobState(row["state"])
            if name in self.before:
                assert (self.before[name], state) in ALLOWED | LOOPS, name
            self.before[name] = state

    def _columns_fit_the_states(self, rows):
        for name, row in rows.items():
            state = row["state"]
            parents = [self.model.jobs[parent]["state"] for parent in self.model.jobs[name]["parents"]]
            if state == SCHEDULED:
                assert not BROKEN & set(parents), name
                assert row["open_parents"] == sum(parent is not SUCCEEDED for parent in parents), name
            if state in (PENDING, SCHEDULED):
                assert (row["started_at"], row["worker_id"], row["progress"]) == (None, "", None), name
            was_run = state == CANCELLED and row["started_at"] is not None
            assert not was_run or row["error_message"] == "stopped", name
            assert (row["completed_at"] is None) == (state in (PENDING, SCHEDULED, PROCESSING)), name
            assert (row["first_started_at"] is None) == (row["fence"] == 0), name
            if state == PROCESSING:
                assert row["worker_id"] == self.model.jobs[name]["worker"], name
            if state == SUCCEEDED:
                assert (row["progress"], row["error_message"]) == (1.0, ""), name

    @rule()
    def every_run_that_did_not_succeed_is_recorded(self):
        recorded = defaultdict(int)
        for name in Attempt.objects.values_list("job__public_id", flat=True):
            recorded[str(name)] += 1
        assert recorded == {name: min(count, 20) for name, count in self.model.attempts.items()}

    @rule()
    def the_next_due_time_is_known(self):
        waiting = [
            job["run_at"] - self.model.now
            for job in self.model.jobs.values()
            if job["state"] in {SCHEDULED, FAILED}
            and all(self.model.jobs[parent]["state"] is SUCCEEDED for parent in job["parents"])
        ]
        assert housekeeping.next_due(USING) == min(waiting, default=None)


def finish_events():
    return (
        Event.SUCCEED,
        Event.FAIL,
        Event.EXHAUST,
        Event.SNOOZE,
        Event.RELEASE,
        Event.LOSE,
        Event.STOPPED,
    )


SEED = 20261124
"""Of the histories that `make test` plays: a change is judged by itself, `make model` looks for more."""
EXAMPLES = int(os.environ.get("FLARE_MODEL_EXAMPLES") or (250 if connection.vendor == "sqlite" else 60))


@contextmanager
def the_machines_world():
    """Stop the clock, and let a failure be retried at a time that is known."""
    no_jitter = {"BACKOFF": {"base": BASE, "cap": 6 * 3600, "jitter": 0}}
    with stopped_clock(), override_settings(FLARE=no_jitter):
        yield


@pytest.mark.timeout(0)
@pytest.mark.django_db
def test_random_histories_go_as_the_model_says():
    chosen = SEED if "FLARE_MODEL_EXAMPLES" not in os.environ else random.getrandbits(32)
    chosen = int(os.environ.get("FLARE_MODEL_SEED") or chosen)
    effort = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    try:
        with the_machines_world():
            run_state_machine_as_test(seed(chosen)(JobHistories), settings=effort)
    except BaseException as error:
        error.add_note(f"FLARE_MODEL_SEED={chosen} FLARE_MODEL_EXAMPLES={EXAMPLES} repeats these histories")
        raise


@pytest.mark.django_db
def test_a_history_that_was_printed_can_be_played_again():
    """What a failure prints are steps like these; kept as a test, they stay found."""
    with the_machines_world():
        state = JobHistories()
        try:
            state.enqueue(max_attempts=1, priority=0)
            state.continue_with(indexes=[0], max_attempts=1, seconds=None)
            state.run_the_next_job_to_its_end(event=Event.FAIL, worker=0)
            state.time_passes(seconds=15)
            state.prune(keep=10)
            state.every_row_is_what_the_model_says()
            assert state.model.jobs == {}
        finally:
            state.teardown()
