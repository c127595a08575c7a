"""What requests cost the database: a page has its time, whatever is searched, and statements are counted."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_flare import jobs
from django_flare.api import pages
from tests.api.support import error
from tests.store.endless import run_endlessly
from tests.support import make_job

SEARCHES = ("tag=a:1", "state=failed", "queue=mail", "job_type=x", "limit=1&tag=a:1")


@pytest.mark.django_db(transaction=True)
class TestSearches:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(pages, "PATIENCE", 1)

    @pytest.mark.parametrize("query", SEARCHES)
    def test_one_that_takes_too_long(self, api, monkeypatch, query):
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "list_jobs", run_endlessly)
            answer = api.get(f"v1/jobs?{query}")
        assert error(answer) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert "created_after" in answer.json()["error"]["message"]
        assert api.get(f"v1/jobs?{query}").status_code == 200


@pytest.mark.django_db
class TestStatements:
    @pytest.mark.parametrize("query", ["limit=100", "created_after=2020-01-01T00:00:00Z"])
    def test_a_page_without_a_search_costs_two(self, api, django_assert_num_queries, query):
        make_job()
        api.get("v1/jobs")
        with django_assert_num_queries(2):
            assert len(api.get(f"v1/jobs?{query}").json()["jobs"]) == 1

    def test_a_plain_creation_costs_three_and_a_wake_up(self, api, database_vendor):
        api.create()
        with CaptureQueriesContext(connection) as captured:
            api.create()
        told = [query["sql"] for query in captured if not query["sql"].startswith("NOTIFY")]
        if database_vendor != "sqlite":
            # The key, the job, and what became of it: nothing waits, so nothing bounds the wait.
            assert len(told) == 3, told
