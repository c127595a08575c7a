"""Workers that register, beat, resign and vanish (spec, sections 6 and 8; F01, F02, F05, F06, F55)."""

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, InternalError, OperationalError, connection

from django_flare import JobState, jobs
from django_flare.definitions import registry
from django_flare.errors import JobTimeout
from django_flare.lifecycle import announce, finish, recovery
from django_flare.lifecycle.claim import ClaimRequest, take_turn
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.finish import Applied
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt, Worker
from django_flare.states import AttemptOutcome, Event
from django_flare.store import runs
from django_flare.store.clock import parse_time
from tests.support import USING, Driver, columns, force, make_job, row, state, states
from tests.testapp.jobs import once
from tests.unreadable import seen, spoil

pytestmark = pytest.mark.django_db(transaction=True)

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState
LEASE = timedelta(seconds=30)


@pytest.fixture
def driver(clock):
    return Driver("wrk_first")


@pytest.fixture
def other(clock):
    return Driver("wrk_other")


def beat(driver, running=0):
    return recovery.beat(driver.worker_id, running, USING)


def recover():
    return recovery.recover(LEASE, USING)


def registered():
    return set(Worker.objects.values_list("pk", flat=True))


def test_a_registration_is_timed_by_the_database(driver, clock):
    worker = Worker.objects.get()
    assert (worker.pk, worker.started_at, worker.last_beat_at) == ("wrk_first", clock.now, clock.now)


def test_one_id_registers_once(driver):
    with pytest.raises(IntegrityError):
        driver.register()


def test_only_a_registered_worker_claims(clock):
    job = make_job()
    stranger = Driver(registered=False)
    assert stranger.claim() == []
    assert state(job) is PENDING


def test_a_worker_claims_only_types_that_it_knows(driver):
    """F55: an unknown type is left alone."""
    unknown, known = make_job(once, queue="q"), make_job(queue="q")
    claimed = driver.claim("q", known_types=["tests.testapp.jobs.plain"])
    assert [str(run.public_id) for run in claimed] == [known]
    assert (state(unknown), row(unknown).attempt) == (PENDING, 0)


def test_unknown_types_in_front_do_not_starve_what_is_behind_them(driver):
    """F59: more of them than one claim takes."""
    jobs.enqueue_many(once, [{}] * 60, queue="q", priority=10)
    known = make_job(queue="q")
    claimed = driver.claim("q", limit=5, known_types=["tests.testapp.jobs.plain"])
    assert [str(run.public_id) for run in claimed] == [known]


def test_queues_are_served_in_the_order_given(driver):
    low, high = make_job(queue="low", priority=100), make_job(queue="high")
    claimed = driver.claim("high", "low", limit=1)
    assert [str(run.public_id) for run in claimed] == [high]
    assert [str(run.public_id) for run in driver.claim("high", "low")] == [low]


def test_within_a_queue_priority_comes_before_age(driver, clock):
    old = make_job(queue="q")
    clock.advance(1)
    urgent, new, last = make_job(queue="q", priority=1), make_job(queue="q"), make_job(queue="q", priority=-1)
    assert [str(run.public_id) for run in driver.claim("q")] == [urgent, old, new, last]


def test_a_claim_takes_no_more_than_it_asked_for(driver):
    """F10."""
    jobs.enqueue_many(once, [{}] * 20, queue="a")
    jobs.enqueue_many(once, [{}] * 20, queue="b")
    assert len(driver.claim("a", "b", limit=7)) == 7
    assert len(driver.claim("a", "b", limit=20)) == 20
    assert len(driver.claim("a", "b", limit=20)) == 13
    assert len(driver.claim("a", "b", limit=20)) == 0


def test_a_gated_job_is_not_claimed(driver):
    job = make_job()
    force(job, gated=True)
    assert driver.claim(row(job).queue) == []


def test_a_claim_tells_all_that_a_run_needs(driver, clock):
    job = make_job(
        payload={"a": [1]}, queue="q", tags={"k": "v"}, max_attempts=4, timeout=timedelta(seconds=90)
    )
    (run,) = driver.claim("q")
    assert (str(run.public_id), run.queue, run.job_type) == (job, "q", "tests.testapp.jobs.plain")
    assert (run.attempt, run.max_attempts, run.fence, run.losses) == (1, 4, 1, 0)
    assert (json.loads(run.payload), json.loads(run.tags), run.timeout) == (
        {"a": [1]},
        {"k": "v"},
        timedelta(seconds=90),
    )
    assert (parse_time(run.created_at, "default"), run.parent_count) == (clock.now, 0)


def test_a_beat_proves_the_worker_alive(driver, clock):
    for _ in range(10):
        clock.advance(20)
        assert beat(driver).alive
        assert recover() == 0
    assert registered() == {"wrk_first"}


def test_a_beat_tells_what_is_held_and_what_should_stop(driver):
    kept, stopped = make_job(), make_job()
    runs = [driver.start(job) for job in (kept, stopped)]
    assert jobs.stop(stopped)
    found = beat(driver, running=2)
    assert found.held == {runs[0].id: (runs[0].fence, False), runs[1].id: (runs[1].fence, True)}
    assert Worker.objects.get().running == 2


def test_a_beat_that_finds_no_row_says_so(driver):
    """F05."""
    driver.start(make_job())
    Worker.objects.all().delete()
    found = beat(driver)
    assert (found.alive, found.held) == (False, {})


@pytest.mark.parametrize(("silence", "lost"), [(29.9, 0), (30, 0), (30.1, 1)])
def test_a_worker_is_lost_once_its_beat_is_older_than_the_lease(silence, lost, driver, clock):
    job = make_job()
    driver.start(job)
    clock.advance(silence)
    assert recover() == lost
    assert state(job) is (PENDING if lost else PROCESSING)


def test_a_lost_run_gives_its_attempt_back(driver, clock):
    job = make_job()
    driver.fail(job)
    jobs.retry(job)
    driver.start(job)
    clock.advance(31)
    assert recover() == 1
    found = row(job)
    assert (found.attempt, found.losses, found.fence, found.run_at) == (1, 1, 2, clock.now)
    assert found.error_message == "ValueError: boom"
    assert registered() == set()


def test_the_third_loss_is_the_dead_letter(clock):
    """F45."""
    job = make_job(max_attempts=100)
    for losses in (1, 2, 3):
        assert state(job) is PENDING
        Driver().start(job)
        clock.advance(31)
        assert recover() == 1
        assert row(job).losses == losses
    assert state(job) is DEAD_LETTER
    assert row(job).error_message.startswith("worker_lost")
    assert [record.outcome for record in row(job).attempts.all()] == [AttemptOutcome.LOST] * 3


def test_the_first_loss_of_a_single_attempt_is_the_dead_letter(driver, clock):
    job = make_job(once)
    driver.start(job)
    clock.advance(31)
    recover()
    assert state(job) is DEAD_LETTER
    assert row(job).error_message.startswith("worker_lost")


def test_the_losses_are_the_jobs_own_whoever_lost_it(clock):
    job = make_job()
    for _ in range(2):
        Driver().start(job)
        clock.advance(31)
        recover()
    Driver().succeed(job)
    assert (state(job), row(job).losses) == (SUCCEEDED, 2)


def test_the_runs_of_a_living_worker_stay(driver, other, clock):
    mine, theirs = make_job(), make_job()
    driver.start(mine)
    other.start(theirs)
    clock.advance(31)
    beat(other)
    assert recover() == 1
    assert states(mine, theirs) == [PENDING, PROCESSING]
    assert registered() == {"wrk_other"}


def test_a_recovery_runs_once_however_often_it_is_called(driver, clock):
    """F01: nothing is appended the second time."""
    job = make_job()
    driver.start(job)
    clock.advance(31)
    assert [recover(), recover(), recover()] == [1, 0, 0]
    assert (row(job).losses, Attempt.objects.count()) == (1, 1)


def test_a_run_whose_worker_has_no_row_is_an_orphan(driver, clock):
    job = make_job()
    driver.start(job)
    Worker.objects.all().delete()
    assert recover() == 1
    assert (state(job), row(job).losses) == (PENDING, 1)


def test_lost_runs_and_orphans_are_counted_together(driver, other, clock):
    lost, orphan = make_job(), make_job()
    driver.start(lost)
    other.start(orphan)
    clock.advance(31)
    Worker.objects.filter(pk=other.worker_id).delete()
    assert recover() == 2
    assert states(lost, orphan) == [PENDING, PENDING]


def test_a_worker_that_was_only_slow_is_refused(driver, other, clock):
    """F02: its outcomes change nothing, in whatever state the job is by then."""
    job = make_job()
    zombie = driver.start(job)
    clock.advance(31)
    beat(other)
    recover()
    for prepare in (lambda: None, lambda: other.start(job), lambda: other.succeed(job)):
        prepare()
        before = columns(job)
        applied = finish.apply([Outcome(id=zombie.id, fence=zombie.fence, event=Event.SUCCEED)], USING)
        assert (applied.states, len(applied.refused)) == ({}, 1)
        assert columns(job) == before
    assert not beat(driver).alive


def test_an_outcome_that_came_before_the_recovery_stands(driver, clock):
    """F01, the mirrored order."""
    job = make_job()
    driver.start(job)
    clock.advance(31)
    driver.succeed(job)
    assert recover() == 0
    assert (state(job), Attempt.objects.count()) == (SUCCEEDED, 0)


def test_one_flush_tells_the_accepted_from_the_refused(driver, clock):
    good, gone = make_job(), make_job()
    outcomes = [driver.outcome(job, Event.SUCCEED) for job in (gone, good)]
    force(gone, fence=99)
    applied = finish.apply(outcomes, USING)
    assert list(applied.states.values()) == [SUCCEEDED]
    assert applied.refused == outcomes[:1]
    assert states(gone, good) == [PROCESSING, SUCCEEDED]


def test_an_outcome_for_a_row_that_is_gone_is_refused(driver):
    job = make_job()
    outcome = driver.outcome(job, Event.SUCCEED)
    applied = finish.apply([Outcome(id=10**9, fence=1, event=Event.SUCCEED), outcome], USING)
    assert (len(applied.states), len(applied.refused), applied.busy) == (1, 1, [])


def test_a_loss_that_kills_cancels_the_children(driver, clock):
    job = make_job(once)
    child = make_job(parents=job)
    driver.start(job)
    clock.advance(31)
    recover()
    assert (state(child), jobs.get_status(child).cancelled_by) == (CANCELLED, job)


def test_many_runs_of_a_vanished_worker_are_taken_back_in_turns(driver, clock):
    jobs.enqueue_many("tests.testapp.jobs.plain", [{}] * 1_100, queue="many")
    assert len(driver.claim("many", limit=2_000)) == 1_100
    clock.advance(31)
    recovered = []
    while found := recover():
        recovered.append(found)
    assert sum(recovered) == 1_100
    assert registered() == set()
    assert set(jobs.list_jobs(queue="many", limit=100).jobs[0].as_dict()) >= {"id"}
    assert not jobs.list_jobs(queue="many", state=PROCESSING).jobs


# Resigning


def test_a_worker_that_resigns_burns_no_attempt(driver):
    job = make_job(once)
    driver.start(job)
    recovery.resign(driver.worker_id, USING)
    found = row(job)
    assert (state(job), found.attempt, found.losses) == (PENDING, 0, 0)
    assert registered() == set()
    assert not Attempt.objects.exists()


def test_who_cannot_give_back_a_run_stays_registered(driver, monkeypatch):
    """Somebody has locked its row."""
    job = make_job()
    driver.start(job)
    with monkeypatch.context() as patch:
        patch.setattr(recovery, "apply", lambda outcomes, using: Applied(busy=list(outcomes)))
        assert recovery.resign(driver.worker_id, USING) is False
    assert registered() == {driver.worker_id}
    assert state(job) is PROCESSING
    assert recovery.resign(driver.worker_id, USING) is True
    assert registered() == set()


def test_resigning_leaves_others_runs_alone(driver, other):
    job = make_job()
    other.start(job)
    recovery.resign(driver.worker_id, USING)
    assert state(job) is PROCESSING


def test_who_resigned_claims_nothing_more(driver):
    make_job()
    recovery.resign(driver.worker_id, USING)
    assert driver.claim() == []


def test_resigning_twice_is_harmless(driver):
    recovery.resign(driver.worker_id, USING)
    recovery.resign(driver.worker_id, USING)


def test_a_run_that_should_stop_is_cancelled_by_the_resignation(driver):
    job = make_job()
    driver.request_stop(job)
    recovery.resign(driver.worker_id, USING)
    assert state(job) is CANCELLED


def test_a_clean_stop_with_many_runs_burns_no_attempt(driver, clock):
    """Promise 6; more runs than one turn takes back."""
    jobs.enqueue_many(once, [{}] * 600, queue="many")
    driver.claim("many", limit=600)
    recovery.resign(driver.worker_id, USING)
    recover()
    assert not jobs.list_jobs(state=[DEAD_LETTER, PROCESSING]).jobs
    assert not Attempt.objects.exists()


# A worker whose process is known to have ended


def recover_worker(driver, event=Event.LOSE):
    return recovery.recover_worker(driver.worker_id, event, USING)


def test_a_worker_that_died_loses_its_runs_before_the_lease(driver, other):
    """F45: no other's."""
    jobs_lost, kept = [make_job(), make_job()], make_job()
    for job in jobs_lost:
        driver.start(job)
    other.start(kept)
    assert recover_worker(driver) == 2
    for job in jobs_lost:
        assert (state(job), row(job).attempt, row(job).losses) == (PENDING, 0, 1)
        assert Attempt.objects.get(job__public_id=job).outcome == AttemptOutcome.LOST
    assert state(kept) is PROCESSING
    assert registered() == {"wrk_other"}


def test_a_worker_that_was_ended_on_purpose_releases_its_runs(driver):
    job = make_job()
    driver.start(job)
    assert recover_worker(driver, Event.RELEASE) == 1
    assert (state(job), row(job).attempt, row(job).losses) == (PENDING, 0, 0)
    assert not Attempt.objects.exists()
    assert registered() == set()


def test_the_runs_that_are_to_blame_end_by_outcomes_of_their_own(driver):
    """F49: killed with a job in it that could not be ended otherwise; the others have done nothing."""
    late, stopped, neighbour, older = (make_job(max_attempts=1) for _ in range(4))
    failure = describe(JobTimeout("too long"))
    known = []
    for job, event, facts in [
        (late, Event.FAIL, {"failure": failure, "timed_out": True}),
        (stopped, Event.STOPPED, {}),
    ]:
        run = driver.start(job)
        known.append(Outcome(id=run.id, fence=run.fence, event=event, **facts))
    driver.start(neighbour)
    run = driver.start(older)
    known.append(Outcome(id=run.id, fence=run.fence - 1, event=Event.FAIL, failure=failure))
    assert recovery.recover_worker(driver.worker_id, Event.RELEASE, USING, known) is None
    assert states(late, stopped, neighbour, older) == [DEAD_LETTER, CANCELLED, PROCESSING, PROCESSING]
    assert recovery.recover_worker(driver.worker_id, Event.RELEASE, USING, known) == 2
    assert states(late, stopped, neighbour, older) == [DEAD_LETTER, CANCELLED, PENDING, PENDING]
    assert Attempt.objects.get().outcome == AttemptOutcome.TIMED_OUT
    assert (row(late).attempt, row(late).losses, row(neighbour).attempt) == (1, 0, 0)
    assert row(stopped).error_message == "stopped"
    assert registered() == set()


def test_a_worker_stays_until_they_have_ended(driver, monkeypatch):
    run = driver.start(make_job())
    outcome = Outcome(id=run.id, fence=run.fence, event=Event.STOPPED)
    with monkeypatch.context() as patched:
        patched.setattr(recovery, "apply", lambda outcomes, using: Applied(busy=list(outcomes)))
        assert recovery.recover_worker(driver.worker_id, Event.RELEASE, USING, [outcome]) is None
    assert registered() == {"wrk_first"}


def test_a_worker_that_was_recovered_by_others_holds_nothing(driver, clock):
    job = make_job()
    driver.start(job)
    clock.advance(31)
    assert recover() == 1
    assert recover_worker(driver) == 0
    assert row(job).losses == 1


def test_the_late_outcome_of_a_recovered_run_is_refused(driver):
    """F02: its fence is outdated."""
    job = make_job()
    run = driver.start(job)
    recover_worker(driver)
    applied = finish.apply([Outcome(id=run.id, fence=run.fence, event=Event.SUCCEED)], USING)
    assert [each.id for each in applied.refused] == [run.id]
    assert state(job) is PENDING


def test_more_runs_than_one_transaction_takes_back_are_taken_back_in_turns(driver):
    jobs.enqueue_many(once, [{}] * 600, queue="many", max_attempts=3)
    driver.claim("many", limit=600)
    assert recover_worker(driver) is None
    assert registered() == {"wrk_first"}
    assert recover_worker(driver) == 100
    assert registered() == set()
    assert not jobs.list_jobs(queue="many", state=PROCESSING).jobs


# A row that takes no outcome (F58, rule 13)

_SPOILT = {"sqlite": "'x'", "postgresql": "32767", "mysql": "65535"}[connection.vendor]


def _with_a_spoilt_one(driver, column="losses", value=_SPOILT):
    jobs = [make_job() for _ in range(3)]
    for job in jobs:
        driver.start(job)
    return jobs[0], jobs[2], spoil(jobs[1], column, value)


def _is_dead(key):
    return seen(key, "state", "error_message") == (
        DEAD_LETTER,
        "unreadable row: the end of its run cannot be recorded; the log says why",
    )


def test_it_does_not_keep_the_lost_jobs_of_the_vanished_from_being_taken_back(driver, clock, caplog):
    first, last, bad = _with_a_spoilt_one(driver)
    clock.advance(31)
    assert recover() == 3
    assert states(first, last) == [PENDING, PENDING]
    assert _is_dead(bad)
    assert registered() == set()
    assert caplog.text.count("Runs could not be ended together") == 1
    assert recover() == 0


def test_nor_those_of_a_worker_that_died(driver):
    first, last, bad = _with_a_spoilt_one(driver)
    assert recover_worker(driver) == 3
    assert states(first, last) == [PENDING, PENDING]
    assert _is_dead(bad)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others keep numbers that can be counted down")
def test_nor_what_a_worker_that_resigns_gives_back(driver):
    first, last, bad = _with_a_spoilt_one(driver, "attempt", "'x'")
    assert recovery.resign(driver.worker_id, USING) is True
    assert states(first, last) == [PENDING, PENDING]
    assert _is_dead(bad)
    assert registered() == set()


def test_one_that_takes_nothing_at_all_keeps_no_worker_registered(driver, monkeypatch):
    driver.start(make_job())
    monkeypatch.setattr(recovery, "apply", lambda outcomes, using: Applied(refused=list(outcomes)))
    assert recovery.resign(driver.worker_id, USING) is True
    assert registered() == set()


def test_nor_does_one_that_fails_for_a_reason_nobody_knows(driver, monkeypatch):
    """F58: nobody counts how often the housekeeping has met it."""
    good, bad = make_job(), make_job()
    driver.start(good)
    key = driver.start(bad).id
    write = runs.write_runs

    def refuse_one(writes, *rest):
        if any(each.id == key and each.state == PENDING for each in writes):
            raise InternalError("odd")
        return write(writes, *rest)

    monkeypatch.setattr(runs, "write_runs", refuse_one)
    assert recover_worker(driver) == 2
    assert states(good, bad) == [PENDING, DEAD_LETTER]


def test_an_outage_is_no_reason_to_try_each_alone(driver, monkeypatch):
    job = make_job()
    driver.start(job)

    def fail(outcomes, using):
        raise OperationalError("gone")

    monkeypatch.setattr(recovery, "apply", fail)
    with pytest.raises(OperationalError):
        recover_worker(driver)
    assert state(job) is PROCESSING


# Who waits at the head of a queue


def turn(driver, *, is_idle, limit=3, queues=("q",), **more):
    request = ClaimRequest(
        driver.worker_id, queues, registry.names(), limit=limit, free_slots=limit, is_idle=is_idle, **more
    )
    return take_turn([], request, USING)


def public_ids(turn):
    return [str(claimed.public_id) for claimed in turn.claimed]


def test_a_busy_worker_learns_that_a_suspect_keeps_waiting(driver):
    """F45: it may take the jobs behind it, and under a steady load there is always one."""
    suspect, behind = make_job(queue="q", priority=1), [make_job(queue="q") for _ in range(4)]
    force(suspect, losses=1)
    busy = turn(driver, is_idle=False)
    assert (public_ids(busy), busy.keeps_waiting) == (behind[:2], True)
    idle = turn(driver, is_idle=True)
    assert (public_ids(idle), idle.keeps_waiting) == ([suspect], False)


def test_room_that_was_made_is_for_a_suspect_of_any_queue(driver):
    """F45: there may always be something in a queue that is preferred."""
    suspect = make_job(queue="late")
    force(suspect, losses=1)
    preferred = make_job(queue="first")
    found = turn(driver, is_idle=True, queues=("first", "late"), seeks_suspect=True)
    assert (public_ids(found), found.has_more) == ([suspect], True)
    assert public_ids(turn(driver, is_idle=True, queues=("first", "late"), seeks_suspect=True)) == [preferred]


def test_a_suspect_that_is_not_at_the_head_waits_for_its_place(driver):
    first = make_job(queue="q", priority=1)
    suspect = make_job(queue="q")
    force(suspect, losses=1)
    found = turn(driver, is_idle=False)
    assert (public_ids(found), found.keeps_waiting) == ([first], False)
    assert turn(driver, is_idle=False).keeps_waiting


class TestAskedToStop:
    """Whoever ends a run that was asked to stop, but by its return, cancels the job and what waits for it."""

    @pytest.fixture
    def family(self, driver):
        parent = make_job()
        children = [make_job(parents=parent)]
        driver.start(parent)
        assert jobs.stop(parent)
        # It is still processing, so others may come to wait for it.
        children.append(make_job(parents=parent))
        grandchild = make_job(parents=children[1])
        assert states(*children, grandchild) == [SCHEDULED] * 3
        return parent, *children, grandchild

    def resign(self, driver, clock):
        assert recovery.resign(driver.worker_id, USING)

    def vanish(self, driver, clock):
        clock.advance(31)
        assert recover() == 1

    def be_forgotten(self, driver, clock):
        Worker.objects.filter(pk=driver.worker_id).delete()
        assert recover() == 1

    @pytest.mark.parametrize("end", [resign, vanish, be_forgotten], ids=lambda each: each.__name__)
    def test_the_end_of_its_worker_cancels_it_with_cascade(self, end, family, driver, clock):
        parent, *descendants = family
        end(self, driver, clock)
        assert states(*family) == [CANCELLED] * 4
        assert (row(parent).error_message, row(parent).cancelled_by) == ("stopped", None)
        assert {str(row(each).cancelled_by) for each in descendants} == {parent}

    def test_its_return_makes_them_claimable(self, family, driver):
        driver.succeed(family[0])
        assert states(*family) == [SUCCEEDED, PENDING, PENDING, SCHEDULED]

    def test_the_third_loss_is_no_dead_letter(self, driver, clock):
        job = make_job()
        driver.start(job)
        force(job, losses=2)
        assert jobs.stop(job)
        self.vanish(driver, clock)
        assert (state(job), row(job).error_message) == (CANCELLED, "stopped")


@pytest.mark.parametrize(
    "give_back",
    [
        lambda driver: recovery.resign(driver.worker_id, USING),
        lambda driver: recovery.recover_worker(driver.worker_id, Event.LOSE, USING),
        lambda driver: recover(),
    ],
)
def test_what_is_given_back_wakes_other_workers(give_back, driver, clock, monkeypatch):
    """Once, and for nothing nobody is woken."""
    woken = []
    driver.start(make_job())
    clock.advance(LEASE.total_seconds() + 1)
    monkeypatch.setattr(announce, "wake_workers", woken.append)
    give_back(driver)
    assert woken == [USING]
    driver.register()
    clock.advance(LEASE.total_seconds() + 1)
    give_back(driver)
    assert woken == [USING]
