"""One key, one job, however many ask at the same instant and whoever of them rolls back."""

# ruff: noqa: E501

from functools import partial

import pytest
from django.db import connection, transaction

from django_flare import FlareConflictError, JobState, jobs, signals
from django_flare.models import Continuation, Job
from tests.races.support import claim, is_serial, register, repair, row, state, stop_here, work

pytestmark = pytest.mark.django_db(transaction=True)

LEVELS = ["read committed", "repeatable read", "serializable"]


def make(payload=None, key="the-key", **options):
    return jobs.enqueue(work, payload or {"n": 1}, idempotency_key=key, **options)


class Rollback(Exception):
    """Leaves an atomic block without its writes."""


def make_and(end, payload=None):
    """Make the job in a caller's transaction that waits, and then commits or rolls back."""

    def run():
        try:
            with transaction.atomic():
                made = make(payload)
                stop_here()
                if end == "rolls back":
                    raise Rollback
        except Rollback:
            return None
        return made

    return run


class TestTheSameKeyAtTheSameInstant:
    def test_equal_requests_all_get_the_one_job(self, stage):
        """F21: 16 threads, 15 keys."""
        keys = [f"key-{n}" for n in range(15)]
        answers = stage.together([lambda: [make(key=key) for key in keys]] * 16)
        assert all(each == answers[0] for each in answers)
        assert Job.objects.count() == len(set(answers[0])) == 15

    def test_different_requests_get_the_job_or_the_conflict(self, stage):
        """F21: half of them say something else; who is first decides, nobody sees another error."""
        keys = [f"key-{n}" for n in range(10)]

        def ask(payload):
            answers = []
            for key in keys:
                try:
                    answers.append(make(payload, key=key))
                except FlareConflictError as error:
                    answers.append(error.code)
            return answers

        answers = stage.together([partial(ask, {"n": n % 2}) for n in range(16)])
        jobs_by_key = dict(Job.objects.values_list("idempotency_key", "public_id"))
        assert len(jobs_by_key) == Job.objects.count() == 10
        for place, key in enumerate(keys):
            winner = str(jobs_by_key[key])
            kind = Job.objects.get(public_id=winner).payload["n"]
            assert [each[place] for each in answers] == [
                winner if n % 2 == kind else "idempotency_key_reuse" for n in range(16)
            ]

    def test_the_loser_waits_for_the_winners_commit_and_gets_its_job(self, stage):
        """F21, F22: both looked before either had inserted."""
        loser = stage.start(make, pause_at="idempotency.before_insert")
        winner = stage.start(make)
        assert winner.ends_or_blocks() == ("blocked" if is_serial() else "done")
        loser.go_on()
        assert loser.result() == winner.result()
        assert Job.objects.count() == 1

    def test_the_loser_of_a_continuation_writes_no_link(self, stage):
        """F21: the whole creation is refused, not the row alone."""
        parent = jobs.enqueue(work)
        attach = partial(jobs.continue_with, parent, work, {}, idempotency_key="child")
        children = stage.together([attach] * 8)
        assert len(set(children)) == 1
        assert (Job.objects.count(), Continuation.objects.count()) == (2, 1)

    def test_a_refused_key_leaves_the_callers_transaction_usable(self, stage):
        """F21"""
        winner = stage.start(make_and("commits"), pause_at="test.here")

        def ask():
            with transaction.atomic():
                before = jobs.enqueue(work) if not is_serial() else None
                try:
                    make({"n": "something else"})
                except FlareConflictError as error:
                    code = error.code
                return code, before, jobs.enqueue(work)

        loser = stage.start(ask)
        if not is_serial():
            assert loser.ends_or_blocks() == "blocked"
        winner.go_on()
        winner.result()
        if is_serial() and loser.error():
            loser = stage.start(ask)
        code, before, after = loser.result()
        assert code == "idempotency_key_reuse"
        assert state(after) == JobState.PENDING
        assert before is None or state(before) == JobState.PENDING


@pytest.mark.parametrize("level", LEVELS)
class TestAWinnerThatIsNotSure:
    @pytest.mark.parametrize("payload", [{"n": 1}, {"n": 2}], ids=["same request", "another request"])
    def test_the_loser_inserts_itself_when_the_winner_rolls_back(self, stage, level, payload):
        """F22: exactly one job, and it is the loser's."""
        winner = stage.start(make_and("rolls back"), pause_at="test.here", isolation=level)
        loser = stage.start(partial(make, payload), isolation=level)
        assert loser.ends_or_blocks() == "blocked"
        assert Job.objects.count() == 0
        winner.go_on()
        assert winner.result() is None
        made = loser.result()
        assert [str(each.public_id) for each in Job.objects.all()] == [made]
        assert row(made).payload == payload

    def test_the_loser_gets_the_winners_job_when_it_commits(self, stage, level):
        """F22"""
        winner = stage.start(make_and("commits"), pause_at="test.here", isolation=level)
        loser = stage.start(make, isolation=level)
        assert loser.ends_or_blocks() == "blocked"
        winner.go_on()
        assert loser.result() == winner.result()
        assert Job.objects.count() == 1

    def test_of_five_losers_one_inserts_when_the_winner_rolls_back(self, stage, level):
        """F22, F20: on MariaDB the waiting inserts deadlock each other; none of the callers hears of it."""
        winner = stage.start(make_and("rolls back"), pause_at="test.here", isolation=level)
        losers = [stage.start(make, isolation=level) for _ in range(5)]
        for loser in losers:
            assert loser.ends_or_blocks() == "blocked"
        winner.go_on()
        winner.result()
        assert len({loser.result() for loser in losers}) == 1
        assert Job.objects.count() == 1

    @pytest.mark.skipif("is_serial()", reason="SQLite lets nobody write beside the winner")
    @pytest.mark.parametrize("end", ["commits", "rolls back"])
    def test_a_loser_inside_its_own_transaction_gets_one_job_or_is_told_to_try_again(self, stage, level, end):
        """F22, F38: with an old snapshot the winner's job cannot be seen; that is said by a code, not by a crash."""
        winner = stage.start(make_and(end), pause_at="test.here", isolation=level)

        def ask():
            with transaction.atomic():
                Job.objects.count()  # takes the snapshot
                try:
                    return make()
                except FlareConflictError as error:
                    assert Job.objects.count() == 0, "the transaction is no longer usable"
                    return error.code

        loser = stage.start(ask, isolation=level)
        assert loser.ends_or_blocks() == "blocked"
        winner.go_on()
        made = winner.result()
        answer = loser.error() or loser.result()
        if end == "rolls back":
            assert state(answer) == JobState.PENDING
        elif level == "read committed":
            assert answer == made
        else:
            assert answer in (made, "idempotency_in_progress") or _is_serialization_failure(answer)
        assert Job.objects.count() == 1


def _is_serialization_failure(error):
    return getattr(getattr(error, "__cause__", None), "sqlstate", None) == "40001"


class TestEnqueueAndTheCallersTransaction:
    @pytest.mark.parametrize("enqueue", [partial(jobs.enqueue, work), make], ids=["plain", "with a key"])
    def test_a_row_is_invisible_to_workers_before_the_callers_commit(self, stage, enqueue):
        """F23"""
        register("wrk_a")

        def call():
            with transaction.atomic():
                job_id = enqueue()
                stop_here()
            return job_id

        caller = stage.start(call, pause_at="test.here")
        claimer = stage.start(claim)
        assert claimer.ends_or_blocks() == ("blocked" if is_serial() else "done")
        assert Job.objects.count() == 0
        caller.go_on()
        job_id = caller.result()
        taken = claimer.result() or claim()
        assert [str(each.public_id) for each in taken] == [job_id]

    def test_a_row_is_gone_with_the_callers_rollback_whole_or_to_a_savepoint(self):
        """F23"""
        register("wrk_a")
        parent = jobs.enqueue(work)
        with transaction.atomic():
            kept = jobs.continue_with(parent, work)
            with pytest.raises(Rollback), transaction.atomic():  # noqa: PT012
                jobs.enqueue(work)
                jobs.continue_with(parent, work)
                make()
                raise Rollback
        with pytest.raises(Rollback), transaction.atomic():  # noqa: PT012
            jobs.enqueue_many(work, [{}] * 3)
            assert jobs.cancel(parent)
            raise Rollback
        assert {str(each) for each in Job.objects.values_list("public_id", flat=True)} == {parent, kept}
        assert (state(parent), state(kept), repair()) == (JobState.PENDING, JobState.SCHEDULED, 0)
        assert make() not in (parent, kept)

    def test_a_receiver_that_raises_changes_nothing(self, caplog):
        """F26: the row exists, so nothing is raised; inside a transaction and outside."""

        def receiver(**_):
            raise RuntimeError("a receiver's own affair")

        signals.job_enqueued.connect(receiver)
        try:
            plain = jobs.enqueue(work)
            with transaction.atomic():
                inside = jobs.enqueue(work)
                keyed = make()
                child = jobs.continue_with(plain, work)
                jobs.enqueue_many(work, [{}] * 2)
        finally:
            signals.job_enqueued.disconnect(receiver)
        assert Job.objects.count() == 6
        assert [state(each) for each in (plain, inside, keyed, child)] == [
            "pending",
            "pending",
            "pending",
            "scheduled",
        ]
        assert "a receiver's own affair" in caplog.text

    def test_a_receiver_that_breaks_its_connection_leaves_the_row(self):
        """F26: a database error in a receiver is the receiver's."""

        def receiver(**_):
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM there_is_no_such_table")

        signals.job_enqueued.connect(receiver)
        try:
            with transaction.atomic():
                job_id = jobs.enqueue(work)
            other = jobs.enqueue(work)
        finally:
            signals.job_enqueued.disconnect(receiver)
        assert (state(job_id), state(other)) == (JobState.PENDING, JobState.PENDING)
