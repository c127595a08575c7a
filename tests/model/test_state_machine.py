"""Random histories against a plain model (spec, sections 2, 5, 6 and 7; reliability 3.2, L1).

The model knows nothing of Django: dicts and rules as the specification words them. After each step
every row must be what the model says, every change one that the table of states allows, and no child
may wait under a parent that is broken. `FLARE_MODEL_EXAMPLES` asks for more than the usual 60 histories.
"""

import os
from collections import defaultdict
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_flare import FlareConflictError, JobState, jobs
from django_flare.lifecycle import claim, finish, housekeeping, recovery
from django_flare.lifecycle.claim import ClaimRequest
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt, Job
from django_flare.states import TRANSITIONS, Event
from django_flare.store import workers
from tests.clock import TestClock, stopped_clock
from tests.support import USING
from tests.testapp.jobs import plain

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState
BROKEN = {CANCELLED, DEAD_LETTER}
LEASE = 30
# Few jobs that much happens to find more than many that hardly meet.
MOST_JOBS = 9
BASE = 15
TYPE = "tests.testapp.jobs.plain"
ALLOWED = {
    (source, target) for row in TRANSITIONS.values() for source in row.sources for target in row.targets
}
LOOPS = {(state, state) for state in JobState}


class Model:
    """Say what the specification says, about dicts."""

    def __init__(self):
        self.now = 0
        self.jobs = {}  # in the order of creation, which is that of the keys
        self.keys = {}
        self.workers = {}
        self.claims = 0
        self.attempts = defaultdict(int)
        self.free_causes = {}
        self.is_paused = False

    def add(self, name, *, run_at=None, parents=(), max_attempts=3, priority=0):
        self.jobs[name] = {
            "state": SCHEDULED,
            "run_at": self.now if run_at is None or run_at <= self.now else run_at,
            "parents": parents,
            "max_attempts": max_attempts,
            "priority": priority,
            "attempt": 0,
            "fence": 0,
            "losses": 0,
            "cancelled_by": None,
            "worker": None,
            "stop": False,
        }
        self.settle([name])

    def settle(self, waiting):
        """Let each waiting job follow from its parents and its time, and on through its descendants."""
        for name in waiting:
            self._settle(name)

    def _settle(self, name):
        job = self.jobs[name]
        if job["state"] is not SCHEDULED:
            return
        parents = [self.jobs[parent] for parent in job["parents"]]
        if any(parent["state"] in BROKEN for parent in parents):
            self.finish(name, CANCELLED)
            # Which of several broken parents is named is free; the database's answer is taken over.
            self.free_causes[name] = True
            self.settle(self.children(name))
        elif all(parent["state"] is SUCCEEDED for parent in parents) and job["run_at"] <= self.now:
            self.make_pending(name)

    def root_causes(self, name):
        """Return the jobs that may be named as the cause of a cascade's reaching `name`."""
        return {
            self.jobs[parent]["cancelled_by"] or parent
            for parent in self.jobs[name]["parents"]
            if self.jobs[parent]["state"] in BROKEN
        }

    def children(self, name):
        return [child for child, job in self.jobs.items() if name in job["parents"]]

    def make_pending(self, name, *, keep_run_at=False):
        job = self.jobs[name]
        job["state"], job["worker"] = PENDING, None
        if not keep_run_at:
            job["run_at"] = self.now

    def finish(self, name, state):
        self.jobs[name]["state"] = state

    def end(self, name, state):
        self.finish(name, state)
        self.settle(self.children(name))

    def in_state(self, *states):
        return [name for name, job in self.jobs.items() if job["state"] in states]

    def claim(self, worker, limit):
        if worker not in self.workers or self.is_paused:
            return []
        ordered = sorted(
            self.in_state(PENDING), key=lambda name: (-self.jobs[name]["priority"], self.jobs[name]["run_at"])
        )
        for name in ordered[:limit]:
            job = self.jobs[name]
            self.claims += 1
            job.update(state=PROCESSING, worker=worker, attempt=job["attempt"] + 1, fence=job["fence"] + 1)
            job["claimed"] = self.claims
        return ordered[:limit]

    def decide(self, name, event, delay):
        """Write what became of one run, without its consequences."""
        job = self.jobs[name]
        run_at, stop, job["stop"] = job["run_at"], job["stop"], False
        self._decide(name, event, delay)
        if (stop and event is not Event.SUCCEED) or event is Event.STOPPED:
            # What was given back stays given back, what was recorded stays recorded.
            job.update(state=CANCELLED, run_at=run_at)

    def _decide(self, name, event, delay):
        job = self.jobs[name]
        used_up = job["attempt"] >= job["max_attempts"]
        if event is Event.SUCCEED:
            self.finish(name, SUCCEEDED)
        elif event is Event.EXHAUST or (event is Event.FAIL and used_up):
            self.attempts[name] += 1
            self.finish(name, DEAD_LETTER)
        elif event is Event.FAIL:
            self.attempts[name] += 1
            wait = min(6 * 3600, BASE * 2 ** (job["attempt"] - 1)) if delay is None else delay
            job.update(state=FAILED, run_at=self.now + wait)
        elif event is Event.SNOOZE:
            job.update(state=SCHEDULED, attempt=job["attempt"] - 1, run_at=self.now + delay, worker=None)
        elif event is Event.RELEASE:
            job["attempt"] -= 1
            self.make_pending(name, keep_run_at=True)
        elif event is Event.LOSE:
            self.attempts[name] += 1
            job.update(attempt=job["attempt"] - 1, losses=job["losses"] + 1)
            if job["losses"] >= 3 or job["max_attempts"] == 1:
                self.finish(name, DEAD_LETTER)
            else:
                self.make_pending(name)

    def flush(self, endings):
        """End several runs at once: first all of them, then what follows."""
        for name, event, delay in endings:
            self.decide(name, event, delay)
        for name, _, _ in endings:
            if self.jobs[name]["state"] in {SUCCEEDED, *BROKEN}:
                self.settle(self.children(name))

    def due(self):
        return [
            name
            for name in self.in_state(SCHEDULED, FAILED)
            if self.jobs[name]["run_at"] <= self.now
            and all(self.jobs[parent]["state"] is SUCCEEDED for parent in self.jobs[name]["parents"])
        ]

    def explain(self, name):
        """Return the codes that may explain why the job is not running."""
        job = self.jobs[name]
        if job["state"] in {SUCCEEDED, *BROKEN}:
            return {"final"}
        if job["state"] is PROCESSING:
            return {"running"}
        if any(self.jobs[parent]["state"] is not SUCCEEDED for parent in job["parents"]):
            return {"waiting_for_parents"}
        if job["state"] is not PENDING and job["run_at"] > self.now:
            return {"retry_at" if job["state"] is FAILED else "scheduled_until"}
        return {"queue_paused"} if self.is_paused else {"claimable", "workers_busy"}

    def retry(self, name, revive):
        job = self.jobs[name]
        if job["state"] not in {FAILED, DEAD_LETTER}:
            return False
        job["max_attempts"] = max(job["max_attempts"], job["attempt"] + 1)
        self.make_pending(name)
        if revive:
            revived = [
                child
                for child, found in self.jobs.items()
                if found["state"] is CANCELLED and found["cancelled_by"] == name
            ]
            for child in revived:
                self.jobs[child].update(state=SCHEDULED, cancelled_by=None)
            self.settle(revived)
        return True


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


@pytest.mark.timeout(0)
@pytest.mark.django_db
def test_random_histories_go_as_the_model_says():
    effort = settings(
        max_examples=int(os.environ.get("FLARE_MODEL_EXAMPLES", "60")),
        stateful_step_count=40,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    no_jitter = {"BACKOFF": {"base": BASE, "cap": 6 * 3600, "jitter": 0}}
    with stopped_clock(), override_settings(FLARE=no_jitter):
        run_state_machine_as_test(JobHistories, settings=effort)
