"""Who may write what became of a run: the holder of the newest fence, and nobody else."""

# ruff: noqa: E501

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError

from django_flare import JobState, jobs
from django_flare.lifecycle import housekeeping, recovery
from django_flare.lifecycle.claim import take_turn
from django_flare.models import Job, Worker
from tests.races.support import (
    USING,
    Crash,
    apply,
    apply_until_recorded,
    claim,
    claim_one,
    cut_connection,
    failed,
    history,
    is_serial,
    let_vanish,
    once,
    own_transaction,
    recover,
    register,
    released,
    request,
    row,
    state,
    states,
    stop_here,
    succeeded,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def vanished():
    """Return a claimed row whose worker has not beaten for an hour."""
    register("wrk_a")
    job_id = jobs.enqueue(work)
    claimed = claim_one(job_id)
    let_vanish("wrk_a")
    return job_id, claimed


class TestCompletionRacesRecovery:
    def test_a_run_completed_between_recoverys_look_and_its_write_stays_completed(self, stage, vanished):
        """F01"""
        job_id, claimed = vanished
        recovery_ = stage.start(recover, pause_at="recover.after_select")
        completion = stage.start(lambda: apply_until_recorded(succeeded(claimed)))
        assert completion.ends_or_blocks() == ("blocked" if is_serial() else "done")
        recovery_.go_on()

        lost = recovery_.result()
        if is_serial():  # recovery was first
            assert (lost, completion.result()) == (1, {})
            assert state(job_id) == JobState.PENDING
        else:
            assert (lost, completion.result()) == (0, {claimed.id: JobState.SUCCEEDED})
            found = row(job_id)
            assert (found.state, found.error_message, found.losses, found.attempt) == ("succeeded", "", 0, 1)
            assert history(job_id) == []

    def test_recovery_passes_over_a_run_that_is_being_completed(self, stage, vanished):
        """F01: the completion holds the row; recovery neither waits nor touches it."""
        job_id, claimed = vanished
        completion = stage.start(lambda: apply(succeeded(claimed)), pause_at="finish.before_write")
        recovery_ = stage.start(recover)
        if not is_serial():
            assert recovery_.result() == 0
            assert Worker.objects.filter(pk="wrk_a").exists(), "a worker that still holds rows was forgotten"
        completion.go_on()

        assert completion.result().states == {claimed.id: JobState.SUCCEEDED}
        assert recovery_.result() == 0
        assert recover() == 0
        assert (state(job_id), history(job_id)) == (JobState.SUCCEEDED, [])
        assert not Worker.objects.exists()

    def test_a_completion_after_recovery_is_refused_and_the_loss_counts_once(self, stage, vanished):
        """F01, mirrored: recovery holds the row."""
        job_id, claimed = vanished

        def recover_slowly():
            with own_transaction():
                lost = recover()
                stop_here()
            return lost

        recovery_ = stage.start(recover_slowly, pause_at="test.here")
        completion = stage.start(lambda: apply(succeeded(claimed)))
        if is_serial():
            assert completion.ends_or_blocks() == "blocked"
        else:
            assert [each.id for each in completion.result().busy] == [claimed.id]
        recovery_.go_on()

        assert recovery_.result() == 1
        if is_serial():
            assert [each.id for each in completion.result().refused] == [claimed.id]
        assert [each.id for each in apply(succeeded(claimed)).refused] == [claimed.id]
        found = row(job_id)
        assert (found.state, found.losses, found.attempt, found.result) == ("pending", 1, 0, None)
        assert history(job_id) == [(1, "lost")]

    def test_an_attempt_claimed_again_in_between_is_untouched_by_a_recovery_that_saw_the_old_one(
        self, stage, vanished
    ):
        """F01: between recovery's look and its lock the row was given back and claimed by another worker."""
        job_id, claimed = vanished
        register("wrk_b")
        recovery_ = stage.start(recover, pause_at="recover.after_select")

        def go_round():
            apply_until_recorded(released(claimed))
            return claim_one(job_id, "wrk_b")

        again = stage.start(go_round)
        assert again.ends_or_blocks() == ("blocked" if is_serial() else "done")
        recovery_.go_on()

        assert recovery_.result() == (1 if is_serial() else 0)
        assert again.result().fence == 2
        found = row(job_id)
        assert (found.state, found.worker_id, found.fence, found.attempt) == ("processing", "wrk_b", 2, 1)
        assert found.losses == (1 if is_serial() else 0)

    def test_an_attempt_claimed_again_is_untouched_by_the_old_runs_completion(self, stage, vanished):
        """F01: recovered and claimed again while the old run's outcome was on its way."""
        job_id, claimed = vanished
        register("wrk_b")
        recover()
        holder = stage.start(lambda: claim_one(job_id, "wrk_b"), pause_at="turn.before_commit")
        late = stage.start(lambda: apply(succeeded(claimed)))
        if not is_serial():
            assert late.result().refused, "the old run's write was not refused"
        holder.go_on()

        assert holder.result().fence == 2
        assert [each.fence for each in late.result().refused] == [1]
        found = row(job_id)
        assert (found.state, found.worker_id, found.fence, found.result) == ("processing", "wrk_b", 2, None)

    def test_two_recoveries_count_a_loss_once(self, stage, vanished):
        """F01: anybody may recover, at any time."""
        job_id, _ = vanished
        first = stage.start(recover, pause_at="recover.after_select")
        second = stage.start(recover)
        assert second.ends_or_blocks() == ("blocked" if is_serial() else "done")
        first.go_on()
        assert first.result() + second.result() == 1
        assert (row(job_id).losses, history(job_id)) == (1, [(1, "lost")])

    def test_a_beat_that_recovery_overtook_finds_the_worker_gone(self, stage, vanished):
        """F01, F05: the late beat waits for recovery's lock and then says so."""
        job_id, _ = vanished
        recovery_ = stage.start(recover, pause_at="recover.after_select")
        beat = stage.start(lambda: recovery.beat("wrk_a", 1, USING))
        assert beat.ends_or_blocks() == "blocked"
        recovery_.go_on()
        assert recovery_.result() == 1
        assert not beat.result().alive
        assert state(job_id) == JobState.PENDING

    def test_a_beat_before_recovery_keeps_the_run(self, stage, vanished):
        """F01: the other order."""
        job_id, claimed = vanished
        beat = stage.start(lambda: recovery.beat("wrk_a", 1, USING), pause_at="beat.before_write")
        beat.go_on()
        assert beat.result().held == {claimed.id: (1, False)}
        assert recover() == 0
        assert state(job_id) == JobState.PROCESSING


class TestZombies:
    def test_every_write_of_an_old_fence_is_refused_while_the_new_run_lasts(self, vanished):
        """F02"""
        job_id, old = vanished
        register("wrk_b")
        assert recover() == 1
        new = claim_one(job_id, "wrk_b")
        before = row(job_id)

        for outcome in (succeeded(old, '"zombie"'), failed(old), released(old)):
            applied = apply(outcome)
            assert (applied.states, applied.busy, applied.refused) == ({}, [], [outcome])
        housekeeping.record_progress({(old.id, old.fence): 0.9}, USING)
        assert _all_columns(row(job_id)) == _all_columns(before)

        housekeeping.record_progress({(new.id, new.fence): 0.3}, USING)
        assert row(job_id).progress == pytest.approx(0.3)
        assert apply(succeeded(new, '"the new run"')).states == {new.id: JobState.SUCCEEDED}
        housekeeping.record_progress({(new.id, new.fence): 0.5}, USING)
        assert apply(succeeded(old, '"zombie"')).refused
        found = row(job_id)
        assert (found.state, found.result, found.progress, found.worker_id) == (
            "succeeded",
            "the new run",
            1.0,
            "wrk_b",
        )
        assert history(job_id) == [(1, "lost")]

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_an_old_and_a_new_run_of_one_job_in_one_batch_are_told_apart(self, vanished, newest_first):
        """F02: a worker that got its lost job back may end both runs at the same moment."""
        job_id, old = vanished
        register("wrk_b")
        recover()
        new = claim_one(job_id, "wrk_b")
        outcomes = [failed(old), succeeded(new)]
        applied = apply(*(reversed(outcomes) if newest_first else outcomes))
        assert applied.states == {new.id: JobState.SUCCEEDED}
        assert (applied.busy, applied.refused) == ([], [outcomes[0]])

    def test_progress_does_not_wait_for_a_locked_row(self, stage, vanished):
        """F02, F12: progress is left out when somebody else has the row."""
        job_id, claimed = vanished
        completion = stage.start(lambda: apply(succeeded(claimed)), pause_at="finish.before_write")
        progress = stage.start(
            lambda: housekeeping.record_progress({(claimed.id, claimed.fence): 0.5}, USING)
        )
        assert progress.ends_or_blocks() == ("blocked" if is_serial() else "done")
        completion.go_on()
        completion.result()
        progress.result()
        assert row(job_id).progress == 1.0


def _all_columns(job):
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


class TestWorkerRows:
    def test_a_worker_without_a_row_claims_nothing(self):
        """F05"""
        register("wrk_a")
        jobs.enqueue_many(work, [{}] * 3)
        Worker.objects.filter(pk="wrk_a").delete()
        assert claim("wrk_a") == []
        assert not recovery.beat("wrk_a", 0, USING).alive
        register("wrk_new")
        assert len(claim("wrk_new")) == 3

    def test_a_claim_that_crosses_the_removal_of_its_worker_is_taken_back(self, stage):
        """F05: the claim read the row, then the row goes: nothing stays in the hands of nobody."""
        register("wrk_a")
        job_id = jobs.enqueue(work)
        claimer = stage.start(lambda: claim("wrk_a"), pause_at="turn.before_commit")
        remover = stage.start(lambda: (Worker.objects.filter(pk="wrk_a").delete(), recover()))
        remover.ends_or_blocks()
        claimer.go_on()
        (claimed,) = claimer.result()
        remover.result()
        recover()
        found = row(job_id)
        assert (found.state, found.attempt, found.losses) == ("pending", 0, 1)
        assert apply(succeeded(claimed)).refused

    def test_a_live_worker_of_the_same_host_and_pid_does_not_prove_a_dead_one_alive(self):
        """F06: the name is the process's start, not the machine."""
        for name in ("wrk_host_7_aaaa", "wrk_host_7_bbbb"):
            register(name, hostname="host", pid=7)
        first, second = jobs.enqueue(work), jobs.enqueue(work)
        claim("wrk_host_7_aaaa", limit=1)
        claim("wrk_host_7_bbbb", limit=1)
        let_vanish("wrk_host_7_aaaa")
        let_vanish("wrk_host_7_bbbb")
        assert recovery.beat("wrk_host_7_bbbb", 1, USING).alive

        assert recover() == 1
        assert (state(first), state(second)) == (JobState.PENDING, JobState.PROCESSING)
        assert list(Worker.objects.values_list("pk", flat=True)) == ["wrk_host_7_bbbb"]

    def test_a_registered_id_is_not_taken_for_a_dead_one(self):
        """F06: one id, one start; a second registration under it is refused."""
        register("wrk_host_7_aaaa")
        with pytest.raises(IntegrityError):
            register("wrk_host_7_aaaa")
        assert recovery.beat("wrk_host_7_aaaa", 0, USING).alive


class TestClaimedButNotStarted:
    def test_rows_handed_back_cost_no_attempt_and_keep_their_place(self):
        """F07"""
        register("wrk_a")
        ids = jobs.enqueue_many(once, [{"n": n} for n in range(5)])
        before = [row(job_id).run_at for job_id in ids]
        claimed = claim("wrk_a")
        assert len(apply(*map(released, claimed)).states) == 5
        assert [(row(job_id).state, row(job_id).attempt, row(job_id).losses) for job_id in ids] == [
            ("pending", 0, 0)
        ] * 5
        assert [row(job_id).run_at for job_id in ids] == before
        assert all(not row(job_id).worker_id and row(job_id).started_at is None for job_id in ids)
        again = claim("wrk_a")
        assert {(each.attempt, each.fence) for each in again} == {(1, 2)}
        assert history(ids[0]) == []

    def test_rows_handed_back_while_recovery_looks_at_them_are_no_loss(self, stage, vanished):
        """F07, F01"""
        job_id, claimed = vanished
        recovery_ = stage.start(recover, pause_at="recover.after_select")
        release = stage.start(lambda: apply_until_recorded(released(claimed)))
        release.ends_or_blocks()
        recovery_.go_on()
        lost = recovery_.result()
        release.result()
        assert lost == (1 if is_serial() else 0)
        assert (row(job_id).state, row(job_id).attempt, row(job_id).losses) == ("pending", 0, lost)

    def test_a_worker_that_resigns_gives_back_what_it_holds_without_blame(self):
        """F07"""
        register("wrk_a")
        job_id = jobs.enqueue(once)
        claim_one(job_id)
        recovery.resign("wrk_a", USING)
        assert (row(job_id).state, row(job_id).attempt, row(job_id).losses) == ("pending", 0, 0)
        assert recover() == 0

    def test_a_worker_that_resigns_while_a_caller_holds_its_row_is_not_blamed_later(self, stage):
        """F07, F12, promise 6: a clean stop burns no attempt, whoever attaches a child meanwhile."""
        register("wrk_a")
        register("wrk_b")
        job_id = jobs.enqueue(once)
        claim_one(job_id)
        caller = stage.start(_attach_and_hold(job_id), pause_at="test.here")
        resign = stage.start(lambda: recovery.resign("wrk_a", USING))
        resign.ends_or_blocks()
        caller.go_on()
        caller.result()
        assert resign.result() or recovery.resign("wrk_a", USING)
        assert recover() == 0
        found = row(job_id)
        assert (found.state, found.attempt, found.losses) == ("pending", 0, 0)


def _attach_and_hold(parent):
    def attach():
        with own_transaction():
            child = jobs.continue_with(parent, work)
            stop_here()
        return child

    return attach


class TestAmbiguousCommits:
    def test_a_claim_that_broke_before_its_commit_took_nothing(self, stage):
        """F08"""
        register("wrk_a")
        job_id = jobs.enqueue(work)
        claimer = stage.start(lambda: claim("wrk_a"), crash_at="turn.before_commit")
        assert isinstance(claimer.error(), Crash)
        assert (row(job_id).state, row(job_id).attempt, row(job_id).fence) == ("pending", 0, 0)
        assert len(claim("wrk_a")) == 1

    def test_a_claim_that_broke_after_its_commit_is_seen_by_the_beat_and_can_be_given_back(self, stage):
        """F08: the worker forgot the rows; its beat tells it which it holds."""
        register("wrk_a")
        job_id = jobs.enqueue(work)
        claimer = stage.start(lambda: claim("wrk_a"), crash_at="turn.after_commit")
        assert isinstance(claimer.error(), Crash)
        held = recovery.beat("wrk_a", 0, USING).held
        assert held == {row(job_id).id: (1, False)}
        assert claim("wrk_a") == []
        apply(*[released(row(job_id))])
        assert (row(job_id).state, row(job_id).attempt) == ("pending", 0)

    @pytest.mark.parametrize("end", [succeeded, failed, released], ids=lambda end: end.__name__)
    @pytest.mark.parametrize("place", ["turn.before_commit", "turn.after_commit"])
    @pytest.mark.parametrize("error", [Crash, OperationalError("gone"), InterfaceError("gone")], ids=repr)
    def test_repeating_an_outcome_whose_commit_is_unknown_is_harmless(self, stage, end, place, error):
        """F08: the database says what happened; the same outcome once more changes nothing that was written."""
        register("wrk_a")
        job_id = jobs.enqueue(work)
        child = jobs.continue_with(job_id, work)
        claimed = claim_one(job_id)
        outcome = end(claimed)
        turn = stage.start(lambda: take_turn([outcome], None, USING), crash_at=place, error=error)
        assert turn.error() is not None
        committed = state(job_id) != JobState.PROCESSING
        assert committed == (place == "turn.after_commit")
        first = _all_columns(row(job_id))

        again = apply(outcome)
        assert not again.busy
        assert bool(again.refused) == committed
        if committed:
            assert _all_columns(row(job_id)) == first
        assert len(history(job_id)) == (1 if end is failed else 0)
        assert state(child) == (JobState.PENDING if end is succeeded else JobState.SCHEDULED)
        assert apply(outcome).refused

    def test_an_outcome_repeated_after_the_next_claim_is_refused(self):
        """F08, F02: the repetition comes so late that the job runs again."""
        register("wrk_a")
        job_id = jobs.enqueue(work)
        claimed = claim_one(job_id)
        apply(released(claimed))
        again = claim_one(job_id)
        assert apply(released(claimed)).refused
        assert (state(job_id), row(job_id).fence) == (JobState.PROCESSING, again.fence)

    @pytest.mark.skipif("is_serial()", reason="SQLite has no connection that a network could cut")
    def test_a_connection_cut_before_the_commit_leaves_the_database_as_it_was(self, stage):
        """F08: the server ends the connection; nothing of the turn is there, all of it can be repeated."""
        register("wrk_a")
        first, second = jobs.enqueue(work), jobs.enqueue(work)
        claimed = claim_one(first) if claim("wrk_a", limit=0) == [] else None
        apply(released(row(second)))
        turn = stage.start(
            lambda: take_turn([succeeded(claimed)], request("wrk_a"), USING), pause_at="turn.before_commit"
        )
        cut_connection(turn)
        turn.go_on()
        assert isinstance(turn.error(), OperationalError | InterfaceError)
        assert (state(first), state(second)) == (JobState.PROCESSING, JobState.PENDING)
        repeated = take_turn([succeeded(claimed)], request("wrk_a"), USING)
        assert repeated.applied.states == {claimed.id: JobState.SUCCEEDED}
        assert [str(each.public_id) for each in repeated.claimed] == [second]


class TestClaimers:
    def test_eight_claimers_never_take_more_than_they_ask_for_and_none_a_job_twice(self, stage):
        """F10"""
        asked = 37
        ids = [str(each) for each in jobs.enqueue_many(work, [{"n": n} for n in range(2000)])]
        workers = [register(f"wrk_{n}") for n in range(8)]

        def claim_all(worker_id):
            batches = []
            while batch := claim(worker_id, asked):
                batches.append(batch)
            return worker_id, batches

        results = stage.together([lambda worker_id=worker_id: claim_all(worker_id) for worker_id in workers])
        # A claimer that found nothing but locked rows may have left before the others' rows came back.
        rest = claim("wrk_0", 2000)
        assert max(len(batch) for _, batches in results for batch in batches) <= asked
        taken = [str(each.public_id) for _, batches in results for batch in batches for each in batch]
        taken += [str(each.public_id) for each in rest]
        assert sorted(taken) == sorted(ids)
        assert states() == {JobState.PROCESSING: 2000}
        assert not Job.objects.exclude(attempt=1, fence=1).exists()
        for worker_id, batches in results:
            held = {each.id for batch in batches for each in batch}
            held |= {each.id for each in rest} if worker_id == "wrk_0" else set()
            assert set(Job.objects.filter(worker_id=worker_id).values_list("pk", flat=True)) == held

    def test_a_claimer_passes_over_what_another_is_claiming(self, stage):
        """F10: and gets as many as it asked for."""
        register("wrk_a")
        register("wrk_b")
        jobs.enqueue_many(work, [{"n": n} for n in range(10)])
        first = stage.start(lambda: claim("wrk_a", 4), pause_at="turn.before_commit")
        second = stage.start(lambda: claim("wrk_b", 4))
        assert second.ends_or_blocks() == ("blocked" if is_serial() else "done")
        first.go_on()
        assert len(first.result()) == len(second.result()) == 4
        assert not {each.id for each in first.result()} & {each.id for each in second.result()}

    def test_a_claimer_does_not_wait_for_a_claimable_row_that_a_caller_holds(self, stage):
        """F10, F12: the row that an open transaction attached a child to is passed over."""
        register("wrk_a")
        held, *others = jobs.enqueue_many(work, [{"n": n} for n in range(5)])
        caller = stage.start(_attach_and_hold(held), pause_at="test.here")
        claimer = stage.start(claim)
        assert claimer.ends_or_blocks() == ("blocked" if is_serial() else "done")
        caller.go_on()
        caller.result()
        taken = {str(each.public_id) for each in claimer.result()}
        assert taken == ({held, *others} if is_serial() else set(others))

    def test_a_finish_does_not_wait_for_a_running_row_that_a_caller_holds(self, stage):
        """F12: by whatever plan the server looks for the rows that are named."""
        register("wrk_a")
        held, other = jobs.enqueue_many(work, [{"n": n} for n in range(2)])
        claimed = {str(each.public_id): each for each in claim()}
        caller = stage.start(_attach_and_hold(held), pause_at="test.here")
        for outcome in (released(claimed[other]), failed(claimed[other])):
            finisher = stage.start(lambda outcome=outcome: apply(outcome))
            assert finisher.ends_or_blocks() == ("blocked" if is_serial() else "done")
        caller.go_on()
        caller.result()
