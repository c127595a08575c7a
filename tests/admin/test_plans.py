"""No page of the jobs reads the whole table, on any engine."""

import pytest

from django_flare.models import Job
from django_flare.states import JobState
from tests.admin.support import LIST, page_of
from tests.store.test_plans import _filled as _filled
from tests.store.test_plans import plans_of, scans_everything

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_filled")]

QUERIES = [
    {},
    *({"state": state.value} for state in JobState),
    {"queue": "queue3"},
    {"job_type": "mail.welcome", "state": "succeeded"},
    {"created": "hour"},
    {"q": "tests.testapp"},
    {"q": "shop=berlin"},
    {"q": "order:7"},
    {"q": "01890000-0000-7000-8000-000000000000"},
    {"o": "6", "state": "dead_letter"},
]


@pytest.mark.parametrize("parameters", QUERIES, ids=str)
def test_the_list(operator, monkeypatch, parameters):
    # These bounds are to this table what the real ones are to a long history.
    monkeypatch.setattr("django_flare.admin.changelist.MOST_COUNTED", 150)
    monkeypatch.setattr("django_flare.admin.criteria.MOST_LOOKED_AT", 150)
    monkeypatch.setattr("django_flare.jobs.overview.MOST_COUNTED", 150)
    plans = plans_of(lambda: operator.get(LIST, parameters))
    assert plans
    assert [text for text in plans if scans_everything(text)] == []


def test_the_page_of_a_job(operator):
    for state in (JobState.SUCCEEDED, JobState.SCHEDULED, JobState.PENDING):
        job_id = Job.objects.filter(state=state).latest("pk").public_id
        plans = plans_of(lambda job_id=job_id: operator.get(page_of(job_id)))
        assert [text for text in plans if scans_everything(text)] == []
