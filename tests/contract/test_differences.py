"""Where HTTP cannot be like a call in this process; the guide to the client says each."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from django_flare import (
    FlareAuthenticationError,
    FlareConflictError,
    FlareJobTypeError,
    FlareOptionError,
    FlarePayloadError,
    FlareRateLimitError,
    jobs,
)
from django_flare.client import FlareClient
from django_flare.models import Job
from tests.contract.support import ONCE, PLAIN
from tests.testapp.jobs import plain

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class TestTransactions:
    def test_a_verb_in_process_joins_the_callers(self, client):
        client.list_jobs()  # notes the use of the key, for which SQLite would have no room later
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
            job_id = jobs.enqueue(PLAIN)
            assert client.get_status(job_id) is None
            1 / 0  # noqa: B018
        assert jobs.get_status(job_id) is None

    def test_one_over_http_has_committed_when_it_returns(self, client):
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
            job_id = client.enqueue(PLAIN)
            1 / 0  # noqa: B018
        assert jobs.get_status(job_id).job_id == job_id


class TestIdempotencyKeys:
    def test_those_of_the_project_and_of_each_api_key_are_apart(self, client, address):
        from django_flare.store import api_keys

        with FlareClient(address, api_keys.issue("another", ["write"]).text) as other:
            ids = {each.enqueue(PLAIN, idempotency_key="k") for each in (jobs, client, other)}
        assert len(ids) == 3

    def test_a_delay_is_another_moment_in_each_call(self, client):
        delay = {"when": timedelta(hours=1), "idempotency_key": "k"}
        assert jobs.schedule(PLAIN, **delay) == jobs.schedule(PLAIN, **delay)
        client.schedule(PLAIN, **delay)
        with pytest.raises(FlareConflictError):
            client.schedule(PLAIN, **delay)


class TestPayloads:
    @pytest.mark.parametrize("value", [NOON, NOON.date(), timedelta(1), Decimal("1.5")], ids=str)
    def test_a_handler_of_plain_dicts_gets_text_where_a_call_in_process_is_refused(self, client, value):
        with pytest.raises(FlarePayloadError):
            jobs.enqueue(PLAIN, {"a": value})
        assert isinstance(jobs.get_status(client.enqueue(PLAIN, {"a": value})).payload["a"], str)

    def test_one_that_is_too_large_has_a_code_of_its_own(self, client):
        with pytest.raises(FlarePayloadError) as caught:
            jobs.enqueue(PLAIN, {"a": "x" * 2**20})
        assert caught.value.code == "invalid_payload"
        for size in (2**20, 2**21):
            with pytest.raises(FlarePayloadError) as caught:
                client.enqueue(PLAIN, {"a": "x" * size})
            assert (caught.value.code, caught.value.status_code) == ("payload_too_large", 413)

    def test_names_that_the_project_redacts_are_not_shown(self, client, settings):
        settings.FLARE = {"REDACT": ["password"]}
        job_id = client.enqueue(PLAIN, {"password": "secret"})
        assert jobs.get_status(job_id).payload == {"password": "secret"}
        assert client.get_status(job_id).payload == {"password": "[redacted]"}


class TestJobTypes:
    def test_a_handler_is_no_name(self, client):
        assert jobs.enqueue(plain)
        with pytest.raises(FlareOptionError, match="job: function, expected the name of a job type"):
            client.enqueue(plain)

    def test_the_project_may_offer_only_some(self, client, settings):
        settings.FLARE = {"API_JOB_TYPES": [ONCE]}
        assert client.enqueue(ONCE)
        assert jobs.enqueue(PLAIN)
        with pytest.raises(FlareJobTypeError):
            client.enqueue(PLAIN)


def test_more_than_a_thousand_do_not_fit_in_one_request(client):
    assert len(jobs.enqueue_many(PLAIN, [{}] * 1001)) == 1001
    with pytest.raises(FlareOptionError, match="payloads: more than 1000"):
        client.enqueue_many(PLAIN, [{}] * 1001)
    assert Job.objects.count() == 1001


def test_a_tags_key_with_a_colon_cannot_be_asked_for(client):
    job_id = client.enqueue(PLAIN, tags={"a:b": "c"})
    assert [each.job_id for each in jobs.list_jobs(tags={"a:b": "c"}).jobs] == [job_id]
    with pytest.raises(FlareOptionError, match="tags"):
        client.list_jobs(tags={"a:b": "c"})


class TestAccess:
    def test_a_key_that_is_not_known(self, address, db):
        with (
            FlareClient(address, "flare_abc_def") as client,
            pytest.raises(FlareAuthenticationError) as caught,
        ):
            client.list_jobs()
        assert (caught.value.code, caught.value.status_code) == ("unauthorized", 401)

    def test_a_key_that_may_only_read(self, address, db):
        from django_flare.store import api_keys

        with FlareClient(address, api_keys.issue("reader", ["read"]).text) as reader:
            assert reader.list_jobs().jobs == []
            for call in (lambda: reader.enqueue(PLAIN), lambda: reader.pause_queue("q")):
                with pytest.raises(FlareAuthenticationError) as caught:
                    call()
                assert (caught.value.code, caught.value.status_code) == ("forbidden", 403)

    def test_a_rate_that_is_used_up(self, client, settings):
        settings.FLARE = {"API_RATE": "2/day"}
        # In the day's last minute it would wait for the next one.
        client._sleep = lambda seconds: None
        client.list_jobs()
        client.list_jobs()
        with pytest.raises(FlareRateLimitError) as caught:
            client.list_jobs()
        assert (caught.value.limit, caught.value.remaining) == (2, 0)
        assert datetime.now(UTC) < caught.value.reset_at <= datetime.now(UTC) + timedelta(days=1)
