"""How many statements the verbs and the worker's turns cost (design, sections 3 and 4).

Counts, never seconds: what grows with the number of jobs would show here.
"""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_flare import JobState, jobs
from django_flare.lifecycle import finish, housekeeping, recovery
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Job, Rollup
from django_flare.states import Event
from django_flare.store import claim, wakeup
from django_flare.store.transactions import WRITE_NOTHING
from tests.support import USING, Driver, make_job
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db(transaction=True)

FRAMES = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET TRANSACTION", "NOTIFY")


def counted(work):
    """Return the statements of `work`, BEGIN and COMMIT among them, NOTIFY left out."""
    with CaptureQueriesContext(connection) as captured:
        work()
    statements = [query["sql"].strip() for query in captured.captured_queries]
    return [statement for statement in statements if not statement.startswith("NOTIFY")]


def without_frames(statements):
    return [statement for statement in statements if not statement.upper().startswith(FRAMES)]


def test_a_keyless_job_is_one_statement_without_a_transaction():
    (statement,) = counted(lambda: jobs.enqueue(plain, {"a": 1}, queue="q", tags={"a": "b"}))
    assert statement.startswith("INSERT INTO")


def test_a_wake_up_is_one_statement_more_and_once_in_a_transaction(database_vendor):
    expected = 1 if database_vendor == "postgres" else 0

    def notified(work):
        wakeup._sent.clear()
        with CaptureQueriesContext(connection) as captured:
            work()
        return sum(query["sql"].startswith("NOTIFY") for query in captured.captured_queries)

    def several():
        with transaction.atomic():
            for _ in range(5):
                jobs.enqueue(plain)
            jobs.enqueue_many(plain, [{}] * 5)

    assert notified(lambda: jobs.enqueue(plain)) == expected
    assert notified(several) == expected


def test_a_wake_up_stands_for_the_commits_of_the_next_10_ms(database_vendor, monkeypatch):
    """F24: the worker that it wakes looks again that long."""
    now = [1000.0]
    monkeypatch.setattr(wakeup.time, "monotonic", lambda: now[0])
    wakeup._sent.clear()
    sent = []
    for pause in (0.0, 0.004, 0.004, 0.004, 0.009, 0.002):
        now[0] += pause
        with CaptureQueriesContext(connection) as captured:
            jobs.enqueue(plain)
        sent.append(sum(query["sql"].startswith("NOTIFY") for query in captured.captured_queries))
    wakeup._sent.clear()
    assert sent == ([1, 0, 0, 1, 0, 1] if database_vendor == "postgres" else [0] * 6)


def test_no_wake_up_where_it_is_switched_off(settings):
    settings.FLARE = {"NOTIFY": False}
    with CaptureQueriesContext(connection) as captured:
        jobs.enqueue(plain)
    assert len(captured.captured_queries) == 1


def test_a_thousand_jobs_are_at_most_five_statements():
    statements = counted(lambda: jobs.enqueue_many(plain, [{"n": number} for number in range(1_000)]))
    assert len(without_frames(statements)) <= 5


def test_a_replay_inserts_nothing():
    jobs.enqueue(plain, idempotency_key="K")
    statements = without_frames(counted(lambda: jobs.enqueue(plain, idempotency_key="K")))
    assert [each for each in statements if not each.startswith("SELECT")] in ([], [WRITE_NOTHING])
    assert sum(each.startswith("SELECT") for each in statements) == 1


def prepared(count, queue):
    driver = Driver()
    jobs.enqueue_many(plain, [{}] * count, queue=queue)
    return driver


def test_a_claim_costs_the_same_for_one_job_and_for_many():
    costs = []
    for count in (1, 10, 150):
        driver = prepared(count, f"q{count}")
        statements = counted(lambda driver=driver, count=count: driver.claim(f"q{count}", limit=200))
        costs.append(len(without_frames(statements)))
        assert len(driver.runs) == count
    assert costs == [2, 2, 2]


def test_a_claim_from_a_paused_queue_writes_nothing():
    driver = prepared(10, "q")
    jobs.pause_queue("q")
    statements = without_frames(counted(lambda: driver.claim("q")))
    assert [statement[:6] for statement in statements] == ["SELECT"]


def test_a_claim_that_finds_nothing_writes_nothing():
    driver = prepared(1, "q")
    statements = without_frames(counted(lambda: driver.claim("empty")))
    assert [statement[:6] for statement in statements] == ["SELECT"]


ENDINGS = {
    Event.SUCCEED: {"result": '{"a":1}'},
    Event.FAIL: {"failure": describe(ValueError("boom"))},
    Event.SNOOZE: {"delay": 5.0},
    Event.RELEASE: {},
    Event.LOSE: {},
}


@pytest.mark.parametrize("event", ENDINGS)
def test_finishing_costs_the_same_for_one_job_and_for_many(event):
    costs = []
    # Django splits an insert on SQLite at 999 parameters, so no more than 90 records of attempts.
    for count in (1, 10, 90):
        driver = prepared(count, f"q{count}")
        driver.claim(f"q{count}", limit=200)
        outcomes = [
            Outcome(id=run.id, fence=run.fence, event=event, **ENDINGS[event]) for run in driver.runs.values()
        ]
        statements = counted(lambda outcomes=outcomes: finish.apply(outcomes, USING))
        costs.append(len(without_frames(statements)))
    # Lock, attempts, outcomes, counts, children.
    assert costs[0] == costs[1] == costs[2] <= 5


def test_recording_an_atomic_success_is_one_statement_where_the_engine_takes_several_at_once(
    database_vendor, monkeypatch
):
    costs = []
    for binds_on_the_server in (False, True):
        if database_vendor == "postgres":
            monkeypatch.setattr(connection.features, "uses_server_side_binding", binds_on_the_server)
        driver = prepared(1, f"q{binds_on_the_server}")
        driver.claim(f"q{binds_on_the_server}")
        (run,) = driver.runs.values()
        outcome = Outcome(id=run.id, fence=run.fence, event=Event.SUCCEED, waited=0.1, ran=0.1)
        statements = counted(
            lambda run=run, outcome=outcome: finish.record_with(
                lambda: outcome, run.queue, run.job_type, USING
            )
        )
        costs.append(len(without_frames(statements)))
    assert costs == ([1, 2] if database_vendor == "postgres" else [3, 3])
    assert Job.objects.filter(state=JobState.SUCCEEDED).count() == Rollup.objects.count() == 2


def test_a_claim_is_compiled_once_whatever_its_limit(monkeypatch):
    driver = prepared(10, "q")
    driver.claim("q", limit=1)
    monkeypatch.setattr(claim, "Compiled", None)
    driver.claim("q", limit=2)
    driver.claim("q", limit=3)
    assert len(driver.runs) == 6


def test_counting_is_one_statement_however_many_queues_there_are():
    driver = Driver()
    for number in range(60):
        driver.start(make_job(queue=f"counted{number}"))
    outcomes = [Outcome(id=run.id, fence=run.fence, event=Event.SUCCEED) for run in driver.runs.values()]
    statements = counted(lambda: finish.apply(outcomes, USING))
    assert sum("django_flare_rollup" in statement for statement in statements) == 1
    assert Rollup.objects.count() == 60


def test_finishing_parents_costs_the_same_for_one_child_and_for_many():
    costs = []
    for count in (1, 10, 50):
        driver, parent = Driver(), make_job()
        for _ in range(count):
            make_job(parents=parent)
        outcome = driver.outcome(parent, Event.SUCCEED)
        statements = counted(lambda outcome=outcome: finish.apply([outcome], USING))
        costs.append(len(without_frames(statements)))
    assert Job.objects.filter(state=JobState.PENDING).count() == 61
    assert costs[0] == costs[1] == costs[2]


def test_promotion_costs_the_same_for_one_job_and_for_many(clock):
    costs = []
    for count in (1, 20):
        for _ in range(count):
            make_job(when=timedelta(seconds=5))
        clock.advance(10)
        costs.append(len(without_frames(counted(lambda: housekeeping.promote_due(USING)))))
    assert costs[0] == costs[1]


def test_a_beat_is_an_update_and_a_look():
    driver = prepared(10, "q")
    driver.claim("q")
    statements = without_frames(counted(lambda: recovery.beat(driver.worker_id, 10, USING)))
    assert [statement[:6] for statement in statements] == ["UPDATE", "SELECT"]


def test_a_cancellation_costs_the_same_for_one_child_and_for_many():
    costs = []
    for count in (1, 10, 50):
        parent = make_job()
        for _ in range(count):
            make_job(parents=parent)
        costs.append(len(without_frames(counted(lambda parent=parent: jobs.cancel(parent)))))
    assert costs[0] == costs[1] == costs[2]
