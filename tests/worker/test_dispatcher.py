"""The dispatcher on the database, with real slots, in this process."""

import logging
import threading
import time

import pytest
from django.db import OperationalError, connection
from django.test import override_settings

from django_flare import failpoints, jobs, signals
from django_flare.conf import flare_settings
from django_flare.definitions import registry
from django_flare.lifecycle import claim, finish, recovery, singly
from django_flare.lifecycle.claim import ClaimRequest, claimable_queues
from django_flare.lifecycle.finish import Applied
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt, Job, Worker
from django_flare.states import Event
from django_flare.store.faults import Fault
from django_flare.worker import identity, slot
from django_flare.worker.dispatcher import Dispatcher
from django_flare.worker.heartbeat import Heartbeat
from django_flare.worker.identity import Identity
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outlook import Outlook
from django_flare.worker.runs import EndReason
from tests import unreadable
from tests.support import force, row, state
from tests.worker.support import (
    PATIENCE,
    USING,
    act,
    aidle,
    eventually,
    fail,
    fail_once,
    idle,
    make_run,
    stage,
    whole,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Bench:
    """A dispatcher that a test starts, watches and ends."""

    def __init__(self, poll=0.05, **options):
        self.options = WorkerOptions(**options)
        self.identity = Identity(self.options, flare_settings().lease)
        self.identity.register()
        self.outlook = Outlook(self.options, poll, has_wakeups=False)
        self.dispatcher = Dispatcher(self.options, self.identity, self.outlook)
        self.looks = 0
        look = self.outlook.look
        self.outlook.look = lambda *args, **kwargs: (self._count(), look(*args, **kwargs))
        self._heartbeat = None

    def _count(self):
        self.looks += 1

    def start(self, *, beating=False):
        self.dispatcher.start()
        if beating:
            self._heartbeat = Heartbeat(self.dispatcher, self.identity, USING)
            self._heartbeat.start()
        return self

    def turns(self, number=6):
        """Return after that many more turns: what did not happen by then will not."""
        until = self.looks + number
        eventually(lambda: self.dispatcher.inbox.wake() or self.looks >= until)

    def end(self):
        stage.free()
        self.dispatcher.stop()
        settled = self.dispatcher.settled.wait(25) if self.dispatcher.is_alive() else True
        self.dispatcher.join(25)
        if self._heartbeat:
            self._heartbeat.stop()
            self._heartbeat.join(25)
        free = self.dispatcher.slots.stop(25) if self.dispatcher.ident else True
        assert settled
        assert free


@pytest.fixture
def bench():
    stage.__init__()
    benches = []

    def make(**options):
        benches.append(Bench(**options))
        return benches[-1]

    yield make
    failpoints.clear()
    for each in benches:
        each.end()


def enqueue(name, **options):
    return jobs.enqueue(act, {"name": name}, **options)


def running(*names):
    eventually(lambda: stage.running == set(names))


def is_in(expected, *job_ids):
    eventually(lambda: {state(job_id) for job_id in job_ids} == {expected})


class TestRunning:
    def test_a_burst_runs_all_there_is_and_settles(self, bench):
        ids = [enqueue(str(n)) for n in range(30)] + [jobs.enqueue(aidle, {}) for _ in range(10)]
        first = ids[0]
        child = jobs.continue_with(first, idle, {})
        worker = bench(burst=True, concurrency=4).start()
        assert worker.dispatcher.settled.wait(25)
        assert {state(each) for each in [*ids, child]} == {"succeeded"}
        assert sorted(stage.started, key=int) == [str(n) for n in range(30)]
        assert max(len(each) for each in stage.neighbours.values()) <= 3
        assert worker.dispatcher.in_hand == {}

    def test_max_jobs(self, bench):
        ids = [enqueue(str(n)) for n in range(9)]
        worker = bench(max_jobs=5, concurrency=2).start()
        assert worker.dispatcher.settled.wait(25)
        assert sorted(state(each) for each in ids) == ["pending"] * 4 + ["succeeded"] * 5

    def test_no_more_jobs_in_hand_than_slots_while_nothing_is_known_of_them(self, bench):
        names = [str(n) for n in range(12)]
        stage.hold(*names)
        for name in names:
            enqueue(name)
        worker = bench(concurrency=3).start()
        eventually(lambda: len(stage.running) == 3)
        worker.turns()
        assert Job.objects.filter(state="processing").count() == 3


class TestSuspects:
    """F45: a job that lost its worker runs alone, in no company that it could take along."""

    def test_a_suspect_waits_for_the_others_and_nothing_begins_beside_it(self, bench):
        stage.hold("early", "suspect")
        early = enqueue("early", priority=10)
        suspect = enqueue("suspect")
        force(suspect, losses=1)
        worker = bench(concurrency=4).start()
        running("early")
        worker.turns()
        assert stage.started == ["early"]
        stage.free("early")
        running("suspect")
        late = [enqueue(f"late {n}") for n in range(3)]
        worker.turns()
        assert {state(each) for each in late} == {"pending"}
        assert {row(each).fence for each in late} == {0}
        stage.free("suspect")
        is_in("succeeded", early, suspect, *late)
        assert stage.neighbours["suspect"] == set()

    def test_a_suspect_is_held_with_no_other_suspect(self, bench):
        """Were they held together, each would have a part in the other's next loss."""
        suspects = [enqueue(f"suspect {n}") for n in range(6)]
        stage.hold("suspect 0")
        for each in suspects:
            force(each, losses=2)
        worker = bench(concurrency=4).start()
        running("suspect 0")
        assert [state(each) for each in suspects] == ["processing"] + ["pending"] * 5
        assert {(row(each).attempt, row(each).losses) for each in suspects[1:]} == {(0, 2)}
        worker.turns()
        assert [state(each) for each in suspects] == ["processing"] + ["pending"] * 5
        stage.free("suspect 0")
        is_in("succeeded", *suspects)
        assert all(stage.neighbours[f"suspect {n}"] == set() for n in range(6))
        assert {row(each).attempt for each in suspects} == {1}

    def test_with_max_jobs_what_was_not_started_does_not_count(self, bench):
        suspects = [enqueue(f"suspect {n}") for n in range(4)]
        for each in suspects:
            force(each, losses=1)
        worker = bench(concurrency=4, max_jobs=3).start()
        assert worker.dispatcher.settled.wait(25)
        assert sorted(state(each) for each in suspects) == ["pending"] + ["succeeded"] * 3


class TestGivingBack:
    def test_a_stale_buffer_is_given_back_and_not_taken_again(self, bench):
        """Jobs were short; then one is not: what waits behind it is free for other workers."""
        quick = jobs.enqueue_many(idle, [{}] * 100, priority=5)
        stage.hold("long")
        long = enqueue("long", priority=4)
        behind = jobs.enqueue_many(idle, [{}] * 150)
        worker = bench(concurrency=1).start()
        running("long")
        is_in("succeeded", *quick)
        eventually(lambda: Job.objects.filter(state="processing").count() == 1)
        worker.turns(20)
        left = Job.objects.filter(public_id__in=behind)
        assert not left.exclude(state="pending").exists()
        assert not left.exclude(attempt=0, losses=0, worker_id="").exists()
        assert not left.filter(fence__gt=1).exists()
        stage.free("long")
        is_in("succeeded", long, *behind)

    def test_stop_gives_back_what_no_slot_has_started(self, bench):
        stage.hold("long")
        jobs.enqueue_many(idle, [{}] * 50, priority=5)
        long = enqueue("long", priority=4)
        behind = jobs.enqueue_many(idle, [{}] * 50)
        worker = bench(concurrency=1).start()
        running("long")
        worker.dispatcher.stop()
        eventually(lambda: Job.objects.filter(state="processing").count() == 1)
        assert not worker.dispatcher.settled.is_set()
        stage.free("long")
        assert worker.dispatcher.settled.wait(25)
        assert state(long) == "succeeded"
        assert not Job.objects.filter(public_id__in=behind).exclude(state="pending", attempt=0).exists()

    def test_giving_up_leaves_what_runs_to_the_end_of_the_worker(self, bench):
        """So that nobody starts a job again long before the process ends that still runs it."""
        stage.hold("long")
        long = enqueue("long")
        worker = bench(concurrency=1).start()
        running("long")
        worker.dispatcher.stop()
        worker.dispatcher.give_up()
        assert worker.dispatcher.settled.wait(25)
        assert state(long) == "processing"
        assert recovery.resign(worker.identity.worker_id, USING)
        assert (state(long), row(long).attempt, row(long).losses) == ("pending", 0, 0)
        assert not Attempt.objects.exists()

    def test_rows_that_nobody_runs_are_given_back(self, bench):
        """F08: a claim whose commit happened although it looked as if not."""
        job_id = enqueue("orphan")
        worker = bench(concurrency=2)
        (held,) = claim.claim(ClaimRequest(worker.identity.worker_id, ["stage"], registry.names(), 5), USING)
        worker.start()
        worker.turns()
        assert (state(job_id), stage.started) == ("processing", [])
        worker.dispatcher.give_back([Outcome(id=held.id, fence=held.fence, event=Event.RELEASE)])
        is_in("succeeded", job_id)
        assert (row(job_id).attempt, row(job_id).fence, row(job_id).losses) == (1, 2, 0)

    def test_a_job_given_back_and_claimed_again_in_one_turn_runs_once(self, bench, caplog):
        stage.hold("one", "two")
        enqueue("one"), enqueue("two")
        worker = bench(concurrency=2).start()
        # Both slots were filled, so it believes that the queue has more, and claims as it gives back.
        running("one", "two")
        again = enqueue("again")
        (held,) = claim.claim(ClaimRequest(worker.identity.worker_id, ["stage"], registry.names(), 5), USING)
        worker.dispatcher.give_back([Outcome(id=held.id, fence=held.fence, event=Event.RELEASE)])
        stage.free()
        is_in("succeeded", again)
        eventually(lambda: worker.dispatcher.in_hand == {})
        assert stage.started.count("again") == 1
        assert (row(again).attempt, row(again).fence, row(again).losses) == (1, 2, 0)
        assert "lease was lost" not in caplog.text

    @override_settings(FLARE={"BEAT": 0.05, "LEASE": 30})
    def test_the_heartbeat_finds_them(self, bench):
        """And leaves alone what runs, however long."""
        stage.hold("long")
        long = enqueue("long")
        worker = bench(concurrency=2).start(beating=True)
        running("long")
        lost = enqueue("orphan", queue="elsewhere")
        claim.claim(ClaimRequest(worker.identity.worker_id, ["elsewhere"], registry.names(), 5), USING)
        is_in("succeeded", lost)
        assert (row(lost).attempt, row(lost).losses) == (1, 0)
        assert row(long).fence == 1
        stage.free("long")
        is_in("succeeded", long)


class TestLostLease:
    def test_what_it_held_is_somebody_elses_from_then_on(self, bench, caplog):
        """F05, F02"""
        stage.hold("one", "two")
        one, two = enqueue("one"), enqueue("two")
        behind = enqueue("behind")
        worker = bench(concurrency=2).start()
        running("one", "two")
        runs = list(worker.dispatcher.in_hand.values())
        # The row first, so that it cannot claim under the old id; then what the heartbeat does.
        Worker.objects.all().delete()
        worker.identity.forget()
        worker.identity.register()
        worker.dispatcher.inbox.wake()
        eventually(lambda: worker.dispatcher.in_hand == {})
        assert {run.end_reason for run in runs} == {EndReason.LEASE_LOST}
        assert all(run.token for run in runs)

        # Both slots are still busy: the third job is left to others.
        worker.turns()
        assert (state(behind), row(behind).fence) == ("pending", 0)
        with caplog.at_level(logging.WARNING, "django_flare.worker"):
            stage.free("one")
            is_in("succeeded", behind)
        assert "the lease was lost, its outcome is dropped" in caplog.text
        # The dropped outcome was not written; recovery takes both jobs back.
        assert (state(one), state(two)) == ("processing", "processing")
        assert recovery.recover(flare_settings().lease, USING) == 2
        stage.free("two")
        is_in("succeeded", one, two)
        assert {(row(each).attempt, row(each).losses) for each in (one, two)} == {(1, 1)}

    def test_with_max_jobs_what_was_given_back_before_is_not_counted_again(self, bench, caplog):
        """F05: an outage longer than the lease, with jobs that no slot has started."""
        dispatcher = Bench(concurrency=1, max_jobs=10).dispatcher
        waiting, given_back = make_run(id=1), make_run(id=2)
        for run in (waiting, given_back):
            run.worker_id = "wrk_old"
            dispatcher._hand.runs[run.row.id] = run
        dispatcher._appetite.note_claimed(2)
        dispatcher.slots.put(given_back)
        dispatcher._give_back_waiting()
        dispatcher._hand.mark_uncertain()
        dispatcher.slots.put(waiting)
        dispatcher._drop_lost_runs()
        assert dispatcher.in_hand == dispatcher._hand.unwritten == {}
        assert dispatcher._appetite._left == 10
        # No handler of theirs has begun, so nothing of theirs was lost.
        assert dispatcher.tally.leases_lost == 0
        assert not dispatcher._hand.doubtful
        assert "lost" not in caplog.text

    def test_a_suspect_that_was_claimed_under_the_new_id_is_not_forgotten(self):
        """F45: it waits for a slot while runs of the old id are dropped; nothing may start beside it."""
        dispatcher = Bench(concurrency=2).dispatcher
        old, suspect = make_run(id=1), make_run(id=2, losses=1)
        old.worker_id, suspect.worker_id = "wrk_old", dispatcher._identity.worker_id
        for run in (old, suspect):
            dispatcher._hand.runs[run.row.id] = run
            dispatcher._caution.note_claimed(run)
            dispatcher.slots.put(run)
        dispatcher._drop_lost_runs()
        assert dispatcher.in_hand == {2: suspect}
        assert dispatcher.slots.take_back() == [suspect]
        assert dispatcher._caution.forbids_claims(0)

    def test_an_outcome_under_an_outdated_fence_is_dropped(self, bench, caplog):
        """F02: another run of the job exists by then."""
        stage.hold("slow")
        job_id = enqueue("slow")
        worker = bench(concurrency=1).start()
        running("slow")
        force(job_id, fence=5, worker_id="wrk_other")
        before = row(job_id)
        stage.free("slow")
        eventually(lambda: "the lease was lost, its outcome is dropped" in caplog.text)
        assert worker.dispatcher.in_hand == {}
        after = row(job_id)
        assert (after.state, after.fence, after.worker_id) == ("processing", 5, "wrk_other")
        assert after.started_at == before.started_at

    def test_what_was_claimed_before_a_standstill_is_not_started_after_it(self, bench):
        """F47: others may have had the job meanwhile, and somebody may have cancelled it since."""
        job_id = enqueue("late")
        worker = bench(concurrency=1)

        def stand_still():
            # What a SIGSTOP between the claim and the start looks like to this process afterwards.
            failpoints.clear()
            worker.identity.note_beat(identity.now() - flare_settings().lease.total_seconds())

        failpoints.activate("turn.after_commit", stand_still)
        worker.start()
        eventually(lambda: (state(job_id), row(job_id).fence) == ("pending", 1))
        worker.turns()
        assert stage.started == []
        assert (row(job_id).attempt, row(job_id).losses) == (0, 0)
        assert not Attempt.objects.exists()

        worker.identity.note_beat(identity.now())
        is_in("succeeded", job_id)
        assert (stage.started, row(job_id).fence) == (["late"], 2)


class TestOutages:
    """F08, F09, F33: an outcome is kept until it is written, and written once."""

    @override_settings(FLARE={"BEAT": 0.05, "LEASE": 30})
    @pytest.mark.parametrize("place", ["turn.before_commit", "turn.after_commit"])
    def test_an_outcome_is_written_once_whatever_became_of_the_commit(self, bench, caplog, place):
        stage.hold("one", "two")
        one, two = enqueue("one"), enqueue("two")
        child = jobs.continue_with(one, idle, {})
        # The heartbeat gives back the child, should its claim have been committed unseen.
        worker = bench(concurrency=2).start(beating=True)
        running("one", "two")
        broken = _break_times(place, 3)
        stage.free()
        is_in("succeeded", one, two, child)
        assert broken == [0]
        assert not Attempt.objects.exists()
        assert {(row(each).attempt, row(each).fence, row(each).losses) for each in (one, two)} == {(1, 1, 0)}
        assert caplog.text.count("The database does not answer") >= 1
        # Refused the second time because it was written the first time: nobody's lease was lost.
        assert "lease was lost" not in caplog.text
        eventually(lambda: worker.dispatcher.in_hand == {})

    @override_settings(FLARE={"BEAT": 0.05, "LEASE": 30})
    def test_jobs_whose_claim_was_committed_unseen_are_run_in_the_end(self, bench):
        ids = [enqueue(str(n)) for n in range(4)]
        broken = _break_times("turn.after_commit", 1)
        bench(concurrency=4).start(beating=True)
        is_in("succeeded", *ids)
        assert broken == [0]
        assert {(row(each).attempt, row(each).fence, row(each).losses) for each in ids} == {(1, 2, 0)}
        assert sorted(stage.started) == ["0", "1", "2", "3"]

    def test_nothing_is_begun_whose_outcome_could_not_be_recorded(self, bench):
        """What waits in hand is given back, without an attempt, and runs when the database is back."""
        quick = jobs.enqueue_many(idle, [{}] * 100, priority=5)
        stage.hold("last")
        last, behind = enqueue("last", priority=4), [enqueue(f"{n}") for n in range(50)]
        worker = bench(concurrency=1).start()
        running("last")
        look, failed = worker.outlook.look, []

        def fail_to_look(*_, **__):
            failed.append(None)
            raise OperationalError("gone")

        assert len(worker.dispatcher.in_hand) > 10
        worker.outlook.look = fail_to_look
        # Only when all is given back does the outage begin.
        eventually(lambda: worker.dispatcher.inbox.wake() or worker.dispatcher.failing)
        stage.free("last")
        eventually(lambda: len(failed) > 3)
        assert stage.started == ["last"]
        worker.outlook.look = look
        is_in("succeeded", *quick, last, *behind)
        assert sorted(stage.started) == sorted(["last", *map(str, range(50))])
        assert not Job.objects.exclude(attempt=1, losses=0).exists()

    def test_a_bug_of_ours_does_not_end_it(self, bench, caplog):
        job_id = enqueue("one")
        broken = _break_times("turn.before_commit", 2, RuntimeError("a bug"))
        bench(concurrency=1).start()
        is_in("succeeded", job_id)
        assert broken == [0]
        assert "The dispatcher failed and goes on" in caplog.text


class TestLostAnswers:
    """F08: the commit was done and its answer lost; the run is told of and counted once all the same."""

    @pytest.fixture
    def heard(self):
        heard = []

        def hear(job_id, state, **_):
            heard.append((job_id, state))

        signals.job_finished.connect(hear)
        yield heard
        signals.job_finished.disconnect(hear)

    @pytest.mark.parametrize(
        ("handler", "ended"), [(act, "succeeded"), (fail, "failed"), (fail_once, "dead_letter")]
    )
    def test_an_end_that_was_recorded_is_told_of(self, bench, caplog, heard, handler, ended):
        stage.hold("one")
        one = jobs.enqueue(handler, {"name": "one"})
        worker = bench(concurrency=1).start()
        running("one")
        broken = _break_when(lambda: state(one) == ended, "turn.after_commit")
        stage.free()
        eventually(lambda: heard == [(one, ended)])
        assert broken == [0]
        counts = worker.dispatcher.tally.counts()
        assert (counts[ended], counts["leases_lost"], counts["claimed"]) == (1, 0, 1)
        assert "lease was lost" not in caplog.text
        assert worker.dispatcher.in_hand == {}
        assert state(one) == ended

    def test_the_success_of_an_atomic_job_too(self, bench, caplog, heard, monkeypatch):
        one = jobs.enqueue(whole, {})
        record_with = slot.record_with

        def lose_the_answer(*args):
            record_with(*args)
            raise finish.NotRecordedError(Fault.OUTAGE) from OperationalError("gone")

        monkeypatch.setattr(slot, "record_with", lose_the_answer)
        worker = bench(concurrency=1).start()
        eventually(lambda: heard == [(one, "succeeded")])
        counts = worker.dispatcher.tally.counts()
        assert (counts["succeeded"], counts["leases_lost"]) == (1, 0)
        assert "lease was lost" not in caplog.text

    def test_a_fence_that_was_raised_during_an_outage_is_a_lost_lease(self, bench, caplog, heard):
        """F02"""
        stage.hold("one")
        one = enqueue("one")
        worker = bench(concurrency=1).start()
        running("one")
        broken = _break_times("turn.before_commit", 10_000)
        stage.free()
        eventually(lambda: broken[0] < 9_998 and worker.dispatcher.in_hand[row(one).id].uncertain)
        force(one, fence=5, worker_id="wrk_other")
        broken[0] = 0
        eventually(lambda: worker.dispatcher.tally.counts()["leases_lost"] == 1)
        assert "the lease was lost, its outcome is dropped" in caplog.text
        assert worker.dispatcher.tally.counts()["succeeded"] == 0
        assert heard == []
        assert worker.dispatcher.in_hand == {}

    def test_who_is_not_answered_asks_again(self, bench, heard, monkeypatch):
        stage.hold("one")
        one = enqueue("one")
        worker = bench(concurrency=1).start()
        running("one")
        look_back, left = finish.look_back, [OperationalError("gone")] * 2
        monkeypatch.setattr(
            finish, "look_back", lambda *args: look_back(*args) if not left else _raise(left.pop())
        )
        _break_when(lambda: state(one) == "succeeded", "turn.after_commit")
        stage.free()
        eventually(lambda: heard == [(one, "succeeded")])
        assert left == []
        assert worker.dispatcher.tally.counts()["succeeded"] == 1

    def test_what_was_recorded_singly_before_an_outage_is_settled(self, bench, caplog, monkeypatch):
        stage.hold("one", "two")
        one, two = enqueue("one"), enqueue("two")
        worker = bench(concurrency=2).start()
        running("one", "two")
        worker.dispatcher.inbox.collect = _both_at_once(worker.dispatcher.inbox.collect)
        worker.turns(2)
        apply_within, failures = finish.apply_within, [ValueError("bad"), None, OperationalError("gone")]

        def act_up(outcomes, *rest):
            failure = failures.pop(0) if outcomes and failures else None
            return _raise(failure) if failure else apply_within(outcomes, *rest)

        monkeypatch.setattr(finish, "apply_within", act_up)
        monkeypatch.setattr(claim, "apply_within", act_up)
        stage.free()
        is_in("succeeded", one, two)
        eventually(lambda: worker.dispatcher.tally.counts()["succeeded"] == 2)
        assert failures == []
        assert worker.dispatcher.tally.counts()["leases_lost"] == 0

    def test_what_is_in_hand_is_not_given_back_when_a_claim_fails_beside_it(self, bench, monkeypatch):
        """Its row is locked by somebody else, so that its outcome has to wait."""
        stage.hold("one")
        one = enqueue("one")
        worker = bench(concurrency=1).start()
        running("one")
        take_turn, apply_each, left = claim.take_turn, singly.apply_each, [3]

        def refuse(outcomes, request, using):
            if left[0] and worker.dispatcher.in_hand and outcomes:
                left[0] -= 1
                raise ValueError("bad")
            if left[0] and left[0] < 3:
                raise ValueError("bad")
            return take_turn(outcomes, request, using)

        def busy(outcomes, *rest):
            yield Applied(busy=list(outcomes))
            left[0] -= 1

        monkeypatch.setattr(claim, "take_turn", refuse)
        monkeypatch.setattr(singly, "apply_each", busy)
        stage.free()
        eventually(lambda: left[0] <= 0)
        monkeypatch.setattr(singly, "apply_each", apply_each)
        is_in("succeeded", one)
        assert (row(one).fence, stage.started) == (1, ["one"])


# SQLite's own rows run as long as nobody compares.
HARMLESS = {("losses", "'x'"), ("run_at", "'2026-13-45 99:00:00'")}


class TestUnreadableRows:
    """F58: one row at the head of a queue stops nothing."""

    @pytest.mark.parametrize(
        ("column", "value"),
        [each for each in unreadable.OF_ENGINE[connection.vendor].items() if each not in HARMLESS],
        ids=str,
    )
    def test_the_others_run(self, bench, caplog, column, value):
        bad = unreadable.spoil(enqueue("bad"), column, value)
        good = [enqueue(str(n)) for n in range(5)]
        elsewhere = jobs.enqueue(idle, {}, queue="elsewhere")
        worker = bench(concurrency=2).start()
        is_in("succeeded", *good, elsewhere)
        (found, message) = unreadable.seen(bad, "state", "error_message")
        assert (found, message.startswith("unreadable row: ")) == ("dead_letter", True)
        assert column in message
        assert caplog.text.count(f"The row of job {bad} cannot be read") == 1
        assert worker.dispatcher.tally.counts()["dead_letter"] == 1
        assert sorted(stage.started) == ["0", "1", "2", "3", "4"]

    def test_beside_an_outcome_that_cannot_be_recorded_either(self, bench, caplog):
        stage.hold("one")
        one = enqueue("one", priority=5)
        worker = bench(concurrency=2).start()
        running("one")
        column, value = next(iter(unreadable.OF_ENGINE[connection.vendor].items()))
        ids = jobs.enqueue_many(idle, [{}] * 3, queue="later")
        bad = unreadable.spoil(ids[0], column, value)
        stage.free()
        is_in("succeeded", one, *ids[1:])
        assert unreadable.seen(bad, "state") == ("dead_letter",)
        eventually(lambda: worker.dispatcher.tally.counts()["succeeded"] == 3)


def test_what_has_ended_is_recorded_although_nobody_sees_what_there_is_to_do(bench, caplog):
    stage.hold("one")
    one = enqueue("one")
    worker = bench(concurrency=1).start()
    running("one")

    def fail_to_look(*_, **__):
        raise ValueError("cannot read the names of the queues")

    worker.outlook.look = fail_to_look
    stage.free()
    is_in("succeeded", one)
    # It is told of after the outcome is recorded.
    eventually(lambda: "cannot read the names" in caplog.text)


class TestVitals:
    """F60: what tells a loop that waits from one that stands still."""

    def test_a_loop_that_stands_still_is_overdue(self, bench):
        go_on = threading.Event()
        failpoints.activate("turn.after_commit", lambda: go_on.wait(PATIENCE))
        dispatcher = bench(concurrency=1).start().dispatcher
        enqueue("one")
        eventually(lambda: dispatcher.overdue > 0.3)
        assert dispatcher.failing == 0
        go_on.set()
        eventually(lambda: dispatcher.overdue == 0)

    def test_a_long_turn_is_not_overdue_while_the_database_answers(self, bench):
        """F33: a slow database is no reason to end a worker."""
        dispatcher = bench(concurrency=1).start().dispatcher
        dispatcher.stop()
        dispatcher.join(PATIENCE)
        dispatcher._next_turn_by = time.monotonic() - 100
        assert dispatcher.overdue >= 100
        with dispatcher.line:
            claimable_queues(USING)
            assert dispatcher.overdue < 50
        assert dispatcher.overdue >= 100

    def test_a_loop_that_fails_goes_round(self, bench):
        broken = _break_times("turn.before_commit", 10_000)
        dispatcher = bench(concurrency=1).start().dispatcher
        job_id = enqueue("one")
        eventually(lambda: dispatcher.failing > 0.3)
        broken[0] = 0
        is_in("succeeded", job_id)
        eventually(lambda: dispatcher.failing == 0)

    def test_what_has_been_done_is_counted(self, bench):
        job_id = enqueue("lost")
        stage.hold("lost")
        dispatcher = bench(concurrency=1).start().dispatcher
        running("lost")
        force(job_id, fence=5, worker_id="wrk_other")
        stage.free()
        is_in("succeeded", enqueue("kept"))

        def counted():
            counts = dispatcher.tally.counts()
            return counts["claimed"], counts["succeeded"], counts["leases_lost"]

        # The dispatcher counts after the commit that the test sees.
        eventually(lambda: counted() == (2, 1, 1))


def _raise(error):
    raise error


def _break_when(condition, place):
    """Let the place raise once, when the condition holds; return what is left as a list of one number."""
    left = [1]

    def act_up():
        if left[0] and condition():
            left[0] = 0
            raise OperationalError("gone")

    failpoints.activate(place, act_up)
    return left


def _both_at_once(collect):
    """Let the dispatcher receive no single run, but two together."""
    kept = []

    def collect_two(*args):
        more, woken = collect(*args)
        kept.extend(more)
        if len(kept) < 2:
            return [], woken
        both = list(kept)
        kept.clear()
        return both, woken

    return collect_two


def _break_times(place, times, error=None):
    """Let the place raise that many times; return what is left as a list of one number."""
    left = [times]

    def act_up():
        if left[0]:
            left[0] -= 1
            raise error or OperationalError("gone")

    failpoints.activate(place, act_up)
    return left
