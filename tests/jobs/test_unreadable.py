"""Reading beside rows that cannot be read: they cost themselves alone (F58)."""

import pytest
from django.db import OperationalError, connection

from django_flare import JobState, jobs
from django_flare.jobs import reading, tolerance
from tests.api.support import Api, make_key
from tests.support import make_job
from tests.unreadable import OF_ENGINE, spoil

pytestmark = pytest.mark.django_db(transaction=True)

NO_TIME = {
    "sqlite": "'2026-13-45 99:00:00'",
    "postgresql": "'infinity'",
    # Neither is refused by MariaDB, nor known to Python.
    "mysql": "'2026-00-00 00:00:00'",
}[connection.vendor]
COLUMNS = [*OF_ENGINE[connection.vendor].items(), ("created_at", NO_TIME)]


@pytest.mark.parametrize(("column", "value"), COLUMNS, ids=str)
def test_a_list_shows_what_can_be_read(column, value):
    job, other = make_job(), make_job()
    spoil(job, column, value)
    page = jobs.list_jobs()
    assert len(page.jobs) == 2
    assert other in {each.job_id for each in page.jobs}
    assert {each.state for each in page.jobs} == {JobState.PENDING}


@pytest.mark.parametrize(("column", "value"), COLUMNS, ids=str)
def test_a_status_says_what_cannot_be_read(column, value):
    job = make_job()
    spoil(job, column, value)
    status = jobs.get_status(job)
    if column == "public_id":
        assert status is None
        return
    assert (status.job_id, status.state) == (job, JobState.PENDING)
    assert status.error_message in (None, f"unreadable row: {column}")


def test_pages_go_on_behind_a_time_that_cannot_be_read():
    ids = [make_job() for _ in range(6)]
    spoil(ids[0], "created_at", NO_TIME)
    seen, cursor = [], None
    for _ in range(10):
        page = jobs.list_jobs(limit=2, cursor=cursor)
        seen += [each.job_id for each in page.jobs]
        cursor = page.next_cursor
        if not page.has_more:
            break
    assert set(ids) <= set(seen)
    assert not page.has_more


def test_an_outage_is_raised(monkeypatch):
    job = make_job()

    def fail(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(reading, "find_job", fail)
    with pytest.raises(OperationalError):
        jobs.get_status(job)
    assert tolerance.is_trouble(OperationalError("gone"))
    assert not tolerance.is_trouble(ValueError("bad"))


# SQLite reads a word from a column of numbers, and it is shown as it is.
@pytest.mark.parametrize(("column", "value"), [each for each in COLUMNS if each[1] != "'x'"], ids=str)
def test_the_api_answers_beside_it(column, value):
    api = Api(make_key("admin"))
    job, other = make_job(), make_job()
    spoil(job, column, value)
    answer = api.get("v1/jobs")
    assert answer.status_code == 200
    assert other in {each["id"] for each in answer.json()["jobs"]}
    assert len(answer.json()["jobs"]) == 2
    assert api.get(f"v1/jobs/{job}").status_code == (404 if column == "public_id" else 200)
