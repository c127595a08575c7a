"""How many statements a page of the admin costs, however much there is to show.

The list of jobs, the page of a job and the dashboard have such tests beside their own.
"""

from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_flare import jobs
from django_flare.models import Job
from django_flare.store import api_keys
from tests.admin.support import LIST
from tests.support import Driver, make_job
from tests.testapp.jobs import plain

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

ADMIN = "/admin/django_flare/"
SESSION = 2
"""The session and its user."""

READ = {
    "/admin/": 1,
    ADMIN: 0,
    f"{ADMIN}queue/": 7,
    f"{ADMIN}queue/q0/change/": 1,
    f"{ADMIN}queue/q0/history/": 2,
    f"{ADMIN}worker/": 2,
    f"{ADMIN}worker/wrk_5F0/change/": 1,
    f"{ADMIN}worker/wrk_5F0/history/": 2,
    f"{ADMIN}apikey/": 2,
    f"{ADMIN}apikey/add/": 0,
    f"{ADMIN}apikey/KEY/change/": 2,
    f"{ADMIN}apikey/KEY/history/": 2,
    f"{ADMIN}apikey/KEY/revoke/": 1,
    f"{ADMIN}apikey/KEY/delete/": 1,
    f"{LIST}JOB/history/": 3,
    f"{LIST}JOB/raw/payload/": 2,
}


def fill(numbers):
    for each in numbers:
        make_job(queue=f"q{each}")
        jobs.pause_queue(f"q{each}")
        Driver(f"wrk_{each}")
        api_keys.issue(f"key {each}", ["read"])


def statements(ask):
    with CaptureQueriesContext(connection) as captured:
        answer = ask()
    assert answer.status_code == 200
    return [each["sql"] for each in captured.captured_queries]


@pytest.mark.parametrize(("address", "most"), READ.items())
def test_of_a_page_that_is_read(operator, address, most):
    counts = []
    for numbers in (range(1), range(1, 20)):
        fill(numbers)
        key = api_keys.listed()[0].pk
        job_id = Job.objects.latest("pk").public_id
        there = address.replace("KEY", str(key)).replace("JOB", str(job_id))
        statements(lambda there=there: operator.get(there))
        counts.append(statements(lambda there=there: operator.get(there)))
    few, many = counts
    assert len(few) - SESSION <= most, "\n".join(few)
    # Of each queue it is counted what waits there.
    assert len(many) - len(few) == (19 if address == f"{ADMIN}queue/" else 0), "\n".join(many)


@pytest.mark.parametrize(("across", "most"), [("0", 16), ("1", 32)])
def test_of_a_question(operator, across, most):
    """Of a selection it is read what state they are in; of all that match it is counted by state."""
    counts = []
    for number in (1, 40):
        jobs.enqueue_many(plain, [{}] * number, queue="many")
        keys = list(Job.objects.values_list("pk", flat=True))
        chosen = {"action": "cancel_jobs", "_selected_action": keys, "select_across": across}
        asked = partial(operator.post, f"{LIST}?queue=many", chosen)
        statements(asked)
        counts.append(statements(asked))
    few, many = counts
    assert len(few) - SESSION <= most, "\n".join(few)
    assert len(many) == len(few), "\n".join(many)
