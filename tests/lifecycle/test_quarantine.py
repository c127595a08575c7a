"""What cannot be read is sent to the dead letter, and nothing waits for it (F58, rule 13)."""

import pytest
from django.db import connection

from django_flare import JobState
from django_flare.definitions import registry
from django_flare.lifecycle import finish, quarantine, singly
from django_flare.lifecycle.claim import ClaimRequest, take_turn
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.quarantine import set_aside_unreadable
from django_flare.models import Attempt, Rollup
from django_flare.states import Event
from django_flare.store import links
from tests.support import USING, Driver, make_job, row, state, states
from tests.testapp.jobs import once
from tests.unreadable import OF_ENGINE, seen, spoil

pytestmark = pytest.mark.django_db(transaction=True)

PENDING, PROCESSING, DEAD_LETTER = JobState.PENDING, JobState.PROCESSING, JobState.DEAD_LETTER
COLUMNS = list(OF_ENGINE[connection.vendor].items())


@pytest.fixture
def driver(clock):
    return Driver()


def request(driver, *queues, limit=5, **facts):
    return ClaimRequest(driver.worker_id, queues or ("q",), registry.names(), limit, **facts)


def set_aside(driver, *queues, **facts):
    return set_aside_unreadable(request(driver, *queues, **facts), USING)


@pytest.mark.parametrize(("column", "value"), COLUMNS, ids=str)
@pytest.mark.parametrize("facts", [{}, {"is_idle": True, "free_slots": 5}], ids=["busy", "idle"])
def test_the_others_are_claimed(driver, column, value, facts):
    bad = spoil(make_job(queue="q"), column, value)
    good = [make_job(queue="q") for _ in range(3)]
    (found,) = set_aside(driver, **facts)
    assert (found.id, found.state) == (bad, DEAD_LETTER)
    assert column in found.what.split(", ")
    assert seen(bad, "state", "error_message") == (DEAD_LETTER, f"unreadable row: {found.what}")
    assert [str(each.public_id) for each in take_turn([], request(driver, **facts), USING).claimed] == good


@pytest.mark.parametrize(("column", "value"), COLUMNS, ids=str)
def test_one_among_unknown_types_is_found(driver, column, value):
    for _ in range(6):
        make_job(once, queue="q", priority=10)
    bad = spoil(make_job(queue="q"), column, value)
    good = make_job(queue="q")
    known = request(driver, mixed={"q"})
    known = ClaimRequest(known.worker_id, ["q"], ["tests.testapp.jobs.plain"], 3, mixed={"q"})
    assert [each.id for each in set_aside_unreadable(known, USING)] == [bad]
    assert [str(each.public_id) for each in take_turn([], known, USING).claimed] == [good]


def _spoiled(queue="q", **options):
    column, value = COLUMNS[0]
    job = make_job(queue=queue, **options)
    return job, spoil(job, column, value)


def test_its_run_is_counted_and_recorded(driver):
    _, bad = _spoiled()
    (found,) = set_aside(driver)
    attempt = Attempt.objects.get(job_id=bad)
    assert (attempt.worker_id, attempt.outcome) == (driver.worker_id, "failed")
    assert attempt.error_message == f"unreadable row: {found.what}"
    assert [(each.outcome, each.count) for each in Rollup.objects.all()] == [(DEAD_LETTER, 1)]


def test_its_children_are_cancelled_with_it(driver):
    job = make_job(queue="q")
    child = make_job(parents=job)
    spoil(job, *COLUMNS[0])
    assert len(set_aside(driver)) == 1
    assert state(child) is JobState.CANCELLED


def test_it_waits_while_somebody_has_locked_a_child(driver, monkeypatch):
    job = make_job(queue="q")
    make_job(parents=job)
    bad = spoil(job, *COLUMNS[0])
    with monkeypatch.context() as patch:
        patch.setattr(links, "lock_free", lambda *_: [])
        assert set_aside(driver) == []
    assert seen(bad, "state", "error_message") == (PENDING, "")
    assert len(set_aside(driver)) == 1


def test_several_of_several_queues_are_found_at_once(driver):
    bad = [_spoiled(queue)[1] for queue in ("q", "r", "q")]
    good = [make_job(queue=queue) for queue in ("q", "r")]
    assert {each.id for each in set_aside(driver, "q", "r")} == set(bad)
    assert states(*good) == [PENDING, PENDING]


def test_what_can_be_read_is_left_alone(driver):
    jobs = [make_job(queue="q") for _ in range(5)]
    assert set_aside(driver) == []
    assert set(states(*jobs)) == {PENDING}
    assert not Attempt.objects.exists()


def test_one_that_was_repaired_meanwhile_is_left_alone(driver, monkeypatch):
    job = make_job(queue="q")
    monkeypatch.setattr(quarantine.store, "unreadable_among", lambda ids, using: ids)
    assert set_aside(driver) == []
    assert (state(job), row(job).fence) == (PENDING, 0)


def test_one_that_was_cancelled_meanwhile_is_left_alone(driver, monkeypatch):
    _, bad = _spoiled()
    ids = quarantine.store.claimable_ids
    monkeypatch.setattr(quarantine.store, "claimable_ids", lambda *args: [*_cancelled(ids(*args))])
    assert set_aside(driver) == []
    assert seen(bad, "state", "fence") == (JobState.CANCELLED, 0)


def _cancelled(ids):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_flare_job SET state = 'cancelled', completed_at = created_at"
            " WHERE state = 'pending'"
        )
    return ids


def test_what_was_claimed_unseen_is_given_back_by_who_is_idle(driver):
    """The single statement of PostgreSQL is committed before its answer is found to be unreadable."""
    job = make_job(queue="q")
    driver.start(job)
    assert set_aside(driver) == []
    assert state(job) is PROCESSING
    assert set_aside(driver, is_idle=True) == []
    assert (state(job), row(job).attempt) == (PENDING, 0)


# Running rows

RUNNING = {
    "sqlite": [("losses", "'x'"), ("attempt", "'x'")],
    "postgresql": [("losses", "32767")],
    "mysql": [("losses", "65535")],
}[connection.vendor]


@pytest.mark.parametrize(("column", "value"), RUNNING, ids=str)
def test_one_whose_outcome_its_row_does_not_take_is_dead_and_the_others_are_recorded(
    driver, column, value, caplog
):
    jobs = [make_job() for _ in range(3)]
    event = Event.RELEASE if column == "attempt" else Event.LOSE
    outcomes = [driver.outcome(job, event) for job in jobs]
    bad = spoil(jobs[1], column, value)
    applied = finish.total(singly.apply_each(outcomes, USING))
    assert applied.states == {
        outcomes[0].id: PENDING,
        bad: DEAD_LETTER,
        outcomes[2].id: PENDING,
    }
    assert seen(bad, "error_message") == (
        "unreadable row: the end of its run cannot be recorded; the log says why",
    )
    assert caplog.text.count(f"The outcome of job {bad} could not be recorded") == 1


@pytest.mark.skipif(connection.vendor == "mysql", reason="keeps no time in a row's start that it cannot read")
def test_a_start_that_cannot_be_read_keeps_no_failure_from_being_recorded(driver):
    job = make_job()
    outcome = driver.outcome(job, Event.FAIL, failure=describe(ValueError("boom")))
    key = spoil(job, "started_at", "'infinity'" if connection.vendor == "postgresql" else "'never'")
    assert finish.apply([outcome], USING).states == {key: JobState.FAILED}
    attempt = Attempt.objects.get()
    assert (attempt.worker_id, attempt.started_at) == (driver.worker_id, None)


def test_one_that_takes_nothing_at_all_is_passed_over(driver, monkeypatch, caplog):
    jobs = [make_job() for _ in range(2)]
    outcomes = [driver.outcome(job, Event.SUCCEED) for job in jobs]
    apply = finish.apply_within

    def refuse(outcomes, *rest, **more):
        if any(each.id == row(jobs[0]).pk for each in outcomes):
            raise ValueError("no")
        return apply(outcomes, *rest, **more)

    monkeypatch.setattr(finish, "apply_within", refuse)
    monkeypatch.setattr(singly, "apply_within", refuse)
    applied = finish.total(singly.apply_each(outcomes, USING))
    assert (applied.refused, list(applied.states)) == ([outcomes[0]], [outcomes[1].id])
    assert caplog.text.count("could not be recorded") == 3
