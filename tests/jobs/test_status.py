"""What callers see of a job (spec, sections 4, 9 and 23)."""

import dataclasses
import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from django_flare import JobState, JobStatus, jobs
from tests.clock import START
from tests.support import Driver, force, make_job
from tests.testapp.jobs import plain

pytestmark = pytest.mark.django_db

PENDING, SCHEDULED, PROCESSING, SUCCEEDED, FAILED, CANCELLED, DEAD_LETTER = JobState

FIELDS = [
    "job_id", "state", "job_type", "queue", "priority", "created_at", "run_at", "started_at", "completed_at",
    "attempt_number", "max_attempts", "progress", "error_message", "result", "result_error", "tags",
    "parent_job_ids", "cancelled_by", "worker_id", "timeout",
]  # fmt: skip

HTTP_FIELDS = [
    "id", "state", "job_type", "queue", "priority", "payload", "tags", "attempt", "max_attempts",
    "timeout_seconds", "progress", "error_message", "result", "result_error", "created_at", "run_at",
    "started_at", "completed_at", "parent_job_ids", "cancelled_by", "worker_id",
]  # fmt: skip


@pytest.fixture
def driver(clock):
    return Driver("wrk_1")


def test_a_status_has_the_fields_of_the_specification():
    names = {field.name for field in dataclasses.fields(JobStatus)}
    assert set(FIELDS) <= names


def test_a_status_is_frozen():
    status = jobs.get_status(make_job())
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.state = CANCELLED


def test_what_does_not_exist_yet_is_none(clock):
    job = jobs.enqueue(plain, {"a": 1}, queue="q", priority=7, tags={"k": "v"}, timeout=timedelta(seconds=90))
    status = jobs.get_status(job)
    assert (status.job_id, status.state, status.job_type) == (job, PENDING, "tests.testapp.jobs.plain")
    assert (status.queue, status.priority, status.tags) == ("q", 7, {"k": "v"})
    assert (status.created_at, status.run_at, status.timeout) == (START, START, timedelta(seconds=90))
    assert (status.attempt_number, status.max_attempts, status.parent_job_ids) == (0, 3, ())
    for name in ("started_at", "completed_at", "progress", "error_message", "result", "result_error"):
        assert getattr(status, name) is None
    assert (status.cancelled_by, status.worker_id) == (None, None)


def test_values_have_their_kinds(driver):
    parent = make_job()
    child = make_job(parents=[parent])
    driver.start(parent)
    status = jobs.get_status(parent)
    assert type(status.state) is JobState
    assert type(status.job_id) is str
    assert type(status.timeout) is timedelta
    assert type(status.tags) is dict
    for moment in (status.created_at, status.run_at, status.started_at):
        assert isinstance(moment, datetime)
        assert moment.utcoffset() == timedelta(0)
    assert jobs.get_status(child).parent_job_ids == (parent,)


def test_a_cascades_cause_is_an_id(driver):
    parent = make_job()
    child = make_job(parents=parent)
    driver.discard(parent)
    assert jobs.get_status(child).cancelled_by == parent


def test_a_running_job_tells_its_worker_and_progress(driver, clock):
    job = make_job()
    clock.advance(5)
    driver.start(job)
    force(job, progress=0.5)
    status = jobs.get_status(job)
    assert (status.state, status.worker_id, status.progress) == (PROCESSING, "wrk_1", 0.5)
    assert (status.started_at, status.attempt_number) == (clock.now, 1)


@pytest.mark.parametrize(
    "unknown", [str(uuid4()), uuid4(), "", "nonsense", "x" * 10_000, "\x00", "\ud800", "١"]
)
def test_an_unknown_job_has_no_status(unknown):
    assert jobs.get_status(unknown) is None


def test_an_id_may_be_a_uuid():
    job = make_job()
    assert jobs.get_status(UUID(job)) == jobs.get_status(job)


def test_as_dict_is_the_http_job_object(clock):
    assert list(jobs.get_status(make_job()).as_dict()) == HTTP_FIELDS


def test_as_dict_of_a_job_that_waits(clock):
    parent = jobs.enqueue(plain)
    job = jobs.continue_with(
        parent, plain, {"a": [1]}, when=timedelta(seconds=1.5), tags={"k": "v"}, timeout=timedelta(minutes=10)
    )
    assert jobs.get_status(job).as_dict() == {
        "id": job,
        "state": "scheduled",
        "job_type": "tests.testapp.jobs.plain",
        "queue": "default",
        "priority": 0,
        "payload": {"a": [1]},
        "tags": {"k": "v"},
        "attempt": 0,
        "max_attempts": 3,
        "timeout_seconds": 600,
        "progress": None,
        "error_message": None,
        "result": None,
        "result_error": None,
        "created_at": "2026-01-01T12:00:00Z",
        "run_at": "2026-01-01T12:00:01.500000Z",
        "started_at": None,
        "completed_at": None,
        "parent_job_ids": [parent],
        "cancelled_by": None,
        "worker_id": None,
    }


def test_as_dict_of_a_job_that_succeeded(driver, clock):
    job = make_job()
    driver.start(job)
    clock.advance(60)
    driver.succeed(job, '{"sum":3}')
    found = jobs.get_status(job).as_dict()
    assert (found["state"], found["attempt"], found["progress"]) == ("succeeded", 1, 1.0)
    assert (found["result"], found["worker_id"]) == ({"sum": 3}, "wrk_1")
    assert (found["started_at"], found["completed_at"]) == ("2026-01-01T12:00:00Z", "2026-01-01T12:01:00Z")


def test_as_dict_of_a_job_that_failed(driver):
    job = make_job()
    driver.fail(job)
    found = jobs.get_status(job).as_dict()
    assert (found["state"], found["error_message"]) == ("failed", "ValueError: boom")


def test_as_dict_holds_plain_json_alone(driver):
    for wanted in ("succeed", "fail", "discard", "snooze"):
        job = make_job(payload={"ä": [None, 1.5, {"x": "💥"}]}, tags={"7": ""})
        getattr(driver, wanted)(job)
        found = jobs.get_status(job).as_dict()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert type(found["state"]) is str


def test_a_fraction_of_a_second_stays_in_the_timeout():
    job = make_job(timeout=timedelta(seconds=1.5))
    assert jobs.get_status(job).as_dict()["timeout_seconds"] == 1.5


def test_a_status_takes_one_statement_and_one_for_parents(django_assert_num_queries, clock):
    parent = make_job()
    child = make_job(parents=parent)
    with django_assert_num_queries(1):
        jobs.get_status(parent)
    with django_assert_num_queries(2):
        jobs.get_status(child)
