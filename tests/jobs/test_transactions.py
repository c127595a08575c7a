"""Jobs live and die with the caller's transaction; after the insert nothing raises (F23, F25, F26)."""

import asyncio
import logging
from contextlib import nullcontext
from datetime import timedelta
from functools import partial

import pytest
from django.core.handlers.base import BaseHandler
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_flare import FlareError, FlareOptionError, JobState, hooks, jobs, signals
from django_flare.models import Attempt, Continuation, Job
from django_flare.store import wakeup
from django_flare.store.transactions import after_commit
from tests.support import Driver, make_job, state, states
from tests.testapp.jobs import plain
from tests.testapp.models import Effect

pytestmark = pytest.mark.django_db(transaction=True)

CREATIONS = {
    "enqueue": lambda: [jobs.enqueue(plain)],
    "enqueue with a key": lambda: [jobs.enqueue(plain, idempotency_key="K")],
    "schedule": lambda: [jobs.schedule(plain, when=timedelta(hours=1))],
    "continue_with": lambda: [jobs.continue_with(jobs.enqueue(plain), plain)],
    "enqueue_many": lambda: jobs.enqueue_many(plain, [{}] * 3),
    "enqueue_many with keys": lambda: jobs.enqueue_many(plain, [{"n": 1}], idempotency_key=lambda _: "K"),
}


class Broken(Exception):
    pass


@pytest.fixture(params=CREATIONS)
def create(request):
    return CREATIONS[request.param]


def exist(ids):
    return [jobs.get_status(job) is not None for job in ids]


def test_a_job_exists_after_the_commit(create):
    with transaction.atomic():
        ids = create()
        Effect.objects.create(job_id="1", note="together")
    assert all(exist(ids))


def test_a_job_is_rolled_back_with_its_caller(create):
    with pytest.raises(Broken), transaction.atomic():  # noqa: PT012
        ids = create()
        assert all(exist(ids))
        raise Broken
    assert not any(exist(ids))
    assert not Job.objects.exists()
    assert not Continuation.objects.exists()


def test_a_job_is_rolled_back_with_its_savepoint_alone(create):
    with transaction.atomic():
        kept = jobs.enqueue(plain)
        with pytest.raises(Broken), transaction.atomic():  # noqa: PT012
            gone = create()
            raise Broken
        later = jobs.enqueue(plain)
    assert exist([kept, later]) == [True, True]
    assert not any(exist(gone))


def test_nested_blocks_commit_as_one(create):
    with transaction.atomic():
        with transaction.atomic(), transaction.atomic():
            ids = create()
        assert all(exist(ids))
        transaction.set_rollback(True)
    assert not any(exist(ids))


def test_a_refused_call_leaves_the_callers_transaction_usable():
    with transaction.atomic():
        Effect.objects.create(job_id="1", note="before")
        for call in (
            lambda: jobs.enqueue(plain, priority=1000),
            lambda: jobs.continue_with("00000000-0000-7000-8000-000000000000", plain, idempotency_key="K"),
            lambda: jobs.cancel("unknown"),
        ):
            with pytest.raises(FlareError):
                call()
        Effect.objects.create(job_id="1", note="after")
    assert Effect.objects.count() == 2


@pytest.fixture
def second_connection():
    """A connection beside the test's own, as a worker has."""
    other = connection.copy()
    yield other
    other.close()


def test_others_see_a_job_after_the_commit_and_not_before(create, second_connection):
    def seen():
        with second_connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {Job._meta.db_table}")
            return cursor.fetchone()[0]

    with transaction.atomic():
        create()
        assert seen() == 0
    assert seen() == Job.objects.count() > 0


@pytest.mark.parametrize("verb", [jobs.cancel, jobs.retry, jobs.discard])
def test_control_is_rolled_back_with_its_caller(verb, clock):
    driver = Driver()
    job = make_job()
    child = make_job(parents=job)
    if verb is not jobs.cancel:
        driver.fail(job)
    before = states(job, child)
    with pytest.raises(Broken), transaction.atomic():  # noqa: PT012
        assert verb(job) is True
        assert states(job, child) != before
        raise Broken
    assert states(job, child) == before


def test_a_caller_without_autocommit_decides_itself():
    transaction.set_autocommit(False)
    try:
        gone = jobs.enqueue(plain)
        transaction.rollback()
        kept = [jobs.enqueue(plain), jobs.enqueue(plain, idempotency_key="K")]
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert exist([gone, *kept]) == [False, True, True]


def test_a_request_with_atomic_requests_that_fails_leaves_no_job(settings, rf):
    def view(request):
        jobs.enqueue(plain)
        raise Broken

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        handler = BaseHandler()
        with pytest.raises(Broken):
            handler.make_view_atomic(view)(rf.get("/"))
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert not Job.objects.exists()


def test_a_connection_past_its_age_is_not_closed_in_the_callers_transaction():
    """F23: the enqueue path never closes connections."""
    with transaction.atomic():
        connection.close_at = 0
        Effect.objects.create(job_id="1", note="mine")
        job = jobs.enqueue(plain)
    assert (Effect.objects.count(), state(job)) == (1, JobState.PENDING)


# Receivers, hooks, providers (F26)


@pytest.fixture
def receive():
    connected = []

    def connect(receiver):
        signals.job_enqueued.connect(receiver, weak=False)
        connected.append(receiver)

    yield connect
    for receiver in connected:
        signals.job_enqueued.disconnect(receiver)


def test_a_receiver_hears_of_a_job_after_the_commit(receive):
    heard = []
    receive(lambda sender, job_ids, queue, **_: heard.append((sender, job_ids, queue)))
    with transaction.atomic():
        job = jobs.enqueue(plain, queue="q")
        assert heard == []
    assert heard == [("tests.testapp.jobs.plain", [job], "q")]


def test_a_receiver_hears_of_a_batch_once(receive):
    heard = []
    receive(lambda job_ids, **_: heard.append(job_ids))
    assert heard == [] != (ids := jobs.enqueue_many(plain, [{}] * 3))
    assert heard == [ids]


def test_a_receiver_hears_nothing_of_what_was_rolled_back_or_replayed(receive):
    heard = []
    receive(lambda job_ids, **_: heard.append(job_ids))
    with pytest.raises(Broken), transaction.atomic():  # noqa: PT012
        jobs.enqueue(plain)
        raise Broken
    first = jobs.enqueue(plain, idempotency_key="K")
    jobs.enqueue(plain, idempotency_key="K")
    assert heard == [[first]]


def test_a_raising_receiver_changes_nothing(receive, create, caplog):
    def raising(**_):
        raise Broken("receiver")

    receive(raising)
    with caplog.at_level(logging.ERROR):
        ids = create()
    assert all(exist(ids))
    assert "receiver" in caplog.text


def test_a_raising_receiver_keeps_others_hearing(receive):
    heard = []

    def raising(**_):
        raise Broken

    receive(raising)
    receive(lambda job_ids, **_: heard.extend(job_ids))
    job = jobs.enqueue(plain)
    assert heard == [job]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about NOTIFY")
def test_a_wake_up_that_fails_after_the_commit_changes_nothing(receive, create, monkeypatch, caplog):
    """F26: the connection may die between the commit and the NOTIFY."""
    heard = []
    receive(lambda job_ids, **_: heard.extend(job_ids))

    def fail(*_):
        raise OperationalError("terminating connection due to administrator command")

    monkeypatch.setattr(wakeup, "notify", fail)
    monkeypatch.setattr(wakeup, "_sent", {})
    with caplog.at_level(logging.ERROR):
        ids = create()
        with transaction.atomic():
            later = create()
    assert all(exist([*ids, *later]))
    assert set(ids) | set(later) <= set(heard)
    assert "terminating connection" in caplog.text


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_hook_that_raises_after_the_commit_keeps_others_from_nothing(in_transaction, caplog):
    """F26: a partial has no name of its own, for which Django asks to log its error."""
    seen = []

    def fail(text):
        raise Broken(text)

    with caplog.at_level(logging.ERROR), transaction.atomic() if in_transaction else nullcontext():
        after_commit(partial(fail, "hook"), "default")
        after_commit(partial(seen.append, "next"), "default")
    assert seen == ["next"]
    assert "fail" in caplog.text


def test_a_raising_hook_of_the_caller_is_the_callers_and_the_job_stays():
    def raising():
        raise Broken

    with pytest.raises(Broken), transaction.atomic():  # noqa: PT012
        transaction.on_commit(raising)
        job = jobs.enqueue(plain)
    assert state(job) is JobState.PENDING


@pytest.fixture
def provide():
    before = list(hooks.header_providers)
    yield hooks.header_providers.append
    hooks.header_providers[:] = before


def headers(job):
    return Job.objects.values_list("headers", flat=True).get(public_id=job)


def test_what_providers_give_is_kept_with_the_job(provide):
    provide(lambda: {"traceparent": "00-1"})
    provide(lambda: {"baggage": {"a": [1]}})
    assert headers(jobs.enqueue(plain)) == {"traceparent": "00-1", "baggage": {"a": [1]}}


BAD_PROVIDERS = {
    "raises": lambda: 1 / 0,
    "gives what is no JSON": lambda: {"a": object()},
    "gives no dict": lambda: "text",
    "gives None": lambda: None,
    "gives a NUL": lambda: {"a": "\x00"},
    "gives a lone surrogate": lambda: {"a": "\ud800"},
    "gives NaN": lambda: {"a": float("nan")},
    "gives a huge integer": lambda: {"a": 10**400},
    "gives an odd key": lambda: {1: "a"},
}


@pytest.mark.parametrize("bad", BAD_PROVIDERS)
def test_a_bad_provider_is_left_out(bad, provide, caplog):
    provide(lambda: {"good": 1})
    provide(BAD_PROVIDERS[bad])
    with caplog.at_level(logging.ERROR):
        job = jobs.enqueue(plain)
    assert headers(job) == {"good": 1}
    assert caplog.records


# Reading alone

WRITES = {
    "create": lambda: Job.objects.create(),
    "get_or_create": lambda: Job.objects.get_or_create(queue="q"),
    "update_or_create": lambda: Job.objects.update_or_create(queue="q"),
    "bulk_create": lambda: Job.objects.bulk_create([Job()]),
    "bulk_update": lambda: Job.objects.bulk_update([Job.objects.get()], ["queue"]),
    "update": lambda: Job.objects.filter(queue="q").update(state=JobState.SUCCEEDED),
    "delete": lambda: Job.objects.all().delete(),
    "aupdate": lambda: asyncio.run(Job.objects.aupdate(queue="x")),
    "save": lambda: Job.objects.get().save(),
    "save of one field": lambda: Job.objects.get().save(update_fields=["queue"]),
    "delete of one": lambda: Job.objects.get().delete(),
    "links": lambda: Continuation.objects.all().delete(),
    "attempts": lambda: Attempt.objects.update(number=1),
    "a job's attempts": lambda: Job.objects.get().attempts.all().delete(),
    "a job's new attempt": lambda: Job.objects.get().attempts.create(number=1),
}


@pytest.mark.parametrize("write", WRITES)
def test_the_managers_refuse_to_write_and_name_the_verbs(write):
    make_job()
    before = list(Job.objects.values())
    with pytest.raises(FlareError, match=r"jobs\.enqueue, cancel, retry or discard") as caught:
        WRITES[write]()
    assert caught.value.code == "read_only"
    assert list(Job.objects.values()) == before


def test_the_managers_read():
    job = make_job(queue="q")
    assert Job.objects.filter(queue="q").exclude(state=JobState.FAILED).count() == 1
    assert str(Job.objects.only("public_id").get().public_id) == job


# Routers (F25)


class Elsewhere:
    """Send every read that asks a router to a database that is not there."""

    def db_for_read(self, model, **hints):
        return "nowhere"

    def db_for_write(self, model, **hints):
        return "nowhere" if model._meta.app_label == "django_flare" else None


def test_no_statement_of_ours_asks_a_router(settings, clock):
    settings.DATABASE_ROUTERS = [Elsewhere()]
    driver = Driver()
    parent = jobs.enqueue(plain, idempotency_key="K", queue="a")
    assert jobs.enqueue(plain, idempotency_key="K", queue="a") == parent
    child = make_job(parents=parent)
    assert jobs.get_status(child).parent_job_ids == (parent,)
    driver.fail(parent)
    jobs.retry(parent)
    driver.succeed(parent)
    assert jobs.cancel(child) is True
    assert {status.job_id for status in jobs.list_jobs(tags={}).jobs} == {parent, child}
    assert Attempt.objects.filter(job__public_id=parent).count() == 1
    assert Continuation.objects.filter(child__public_id=child).count() == 1


def test_the_queues_database_is_the_one_in_the_settings(settings):
    settings.FLARE = {"DATABASE": "elsewhere"}
    with pytest.raises(connections.exception_class):
        jobs.enqueue(plain)


def test_nothing_is_asked_before_everything_is_checked():
    with CaptureQueriesContext(connection) as captured, pytest.raises(FlareOptionError):
        jobs.continue_with("00000000-0000-7000-8000-000000000000", plain, priority=1000)
    assert not captured.captured_queries
