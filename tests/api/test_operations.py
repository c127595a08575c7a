"""Queues, workers, metrics, health and addresses that there are not."""

import pytest

from django_flare import jobs
from django_flare.jobs import summary
from django_flare.states import FINAL, JobState
from tests.api.support import error, reasons
from tests.support import Driver, make_job

pytestmark = pytest.mark.django_db


class TestQueues:
    def test_pause_and_resume(self, api):
        for verb, paused, changed in (("pause", True, True), ("pause", True, False), ("resume", False, True)):
            answer = api.post(f"v1/queues/mail/{verb}")
            assert answer.status_code == 200
            assert answer.json() == {"name": "mail", "paused": paused, "changed": changed}
        assert jobs.resume_queue("mail") is False

    def test_the_list(self, api):
        make_job(queue="mail")
        jobs.pause_queue("empty")
        listed = {each["name"]: each for each in api.get("v1/queues").json()["queues"]}
        assert listed["mail"]["claimable"] == {"number": 1, "has_more": False}
        assert (listed["mail"]["paused"], listed["empty"]["paused"]) == (False, True)

    @pytest.mark.parametrize("name", ["a b", "-a", "x" * 101, "é", "%00"])
    def test_a_name_that_no_queue_can_have(self, api, name):
        answer = api.post(f"v1/queues/{name}/pause")
        assert error(answer) == (400, "invalid_option")
        assert reasons(answer)[0][0] == "queue"

    def test_no_body_is_taken(self, api):
        assert error(api.post("v1/queues/mail/pause", {})) == (400, "invalid_request")
        assert jobs.resume_queue("mail") is False


def test_workers(api):
    driver = Driver("wrk_a")
    driver.start(make_job())
    (worker,) = api.get("v1/workers").json()["workers"]
    assert (worker["id"], worker["stale"]) == ("wrk_a", False)
    # As all times of the API are written.
    assert worker["started_at"].endswith("Z")


class TestMetrics:
    def test_a_summary(self, api):
        driver = Driver()
        driver.succeed(make_job())
        jobs.cancel(make_job())
        make_job()
        found = api.get("v1/metrics/summary?period=1h").json()
        assert found["period"] == "1h"
        assert set(found["states"]) == set(JobState)
        assert set(found["ended"]) == FINAL
        assert found["states"][JobState.PENDING] == {"number": 1, "has_more": False}
        assert found["ended"][JobState.SUCCEEDED] == {"number": 1, "has_more": False}
        assert found["ended"][JobState.CANCELLED]["number"] == 1
        assert found["ended_per_minute"] == round(2 / 60, 3)
        assert found["since"] < found["until"]

    def test_what_ended_before_does_not_count(self, api, clock):
        jobs.cancel(make_job())
        clock.advance(3601)
        ended = {
            period: api.get(f"v1/metrics/summary?period={period}").json()["ended"][JobState.CANCELLED][
                "number"
            ]
            for period in ("1h", "24h", "7d", "30d")
        }
        assert ended == {"1h": 0, "24h": 1, "7d": 1, "30d": 1}

    def test_all_that_ended_is_counted_however_much(self, api, monkeypatch):
        monkeypatch.setattr(summary.store, "count_ended", lambda *_: {JobState.SUCCEEDED: 1_000_000})
        found = api.get("v1/metrics/summary").json()
        assert found["ended"][JobState.SUCCEEDED] == {"number": 1_000_000, "has_more": False}

    def test_a_day_unless_said_otherwise(self, api):
        assert api.get("v1/metrics/summary").json()["period"] == "24h"

    @pytest.mark.parametrize("query", ["period=1y", "period=", "period=%00"])
    def test_a_bad_period(self, api, query):
        assert error(api.get(f"v1/metrics/summary?{query}")) == (400, "invalid_option")


class TestHealth:
    @pytest.mark.parametrize("path", ["health/live", "health/ready"])
    def test_without_a_key(self, nobody, path):
        answer = nobody.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert "X-RateLimit-Limit" not in answer.headers

    def test_other_methods(self, nobody):
        answer = nobody.post("health/live")
        assert error(answer) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET, HEAD"


class TestNowhere:
    PATHS = ("", "v1", "v1/", "v2/jobs", "v1/jobs/", "v1/jobs/x/y", "v1/nothing", "health", "a/\n/b", "%ff")

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
    def test_it_is_404_for_every_method(self, api, path, method):
        assert error(api.ask(method, path)) == (404, "not_found")

    def test_nobody_learns_of_it_without_a_key(self, nobody):
        assert error(nobody.get("v1/nothing")) == (401, "unauthorized")
