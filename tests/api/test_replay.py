"""Idempotency keys over HTTP: one job, and the same answer to the byte (F21, F22)."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection, connections, transaction

from django_flare import jobs
from django_flare.api import replay
from django_flare.jobs import JobRequest
from django_flare.lifecycle import retention
from django_flare.models import Job, Reply
from tests.api.support import Api, error, make_key
from tests.support import Driver

PLAIN = "tests.testapp.jobs.plain"
BODY = {"job_type": PLAIN, "payload": {"b": 1, "a": "é"}, "queue": "mail"}
# Keys, and the bodies that are rivals for each. The whole of it takes minutes.
RIVALS = [(200, 50)] if os.environ.get("FLARE_TEST_WHOLE") else [(1, 50), (20, 10)]
AT_ONCE = 10


def create(api, body=BODY, key="k"):
    return api.post("v1/jobs", body, Idempotency_Key=key)


@pytest.mark.django_db
class TestReplay:
    def test_the_same_bytes_whatever_became_of_the_job(self, api):
        first = create(api)
        assert "Idempotent-Replay" not in first.headers
        Driver().succeed(first.json()["id"])
        again = create(api)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotent-Replay"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        assert Job.objects.count() == 1

    def test_order_and_space_make_no_difference(self, api):
        first = create(api)
        data = f'{{ "queue":"mail",\n "payload":{{"a":"\\u00e9","b":1}}, "job_type":"{PLAIN}" }}'
        again = api.post("v1/jobs", data=data, Idempotency_Key="k")
        assert again.content == first.content
        in_body = api.post("v1/jobs", {**BODY, "idempotency_key": "k"})
        assert in_body.content == first.content

    @pytest.mark.parametrize(
        "change",
        [
            {"payload": {"b": 1.0, "a": "é"}},
            {"payload": {}},
            {"queue": "other"},
            {"priority": 0},
            {"run_at": "2030-01-01T00:00:00Z"},
            {"job_type": "mail.welcome"},
        ],
        ids=str,
    )
    def test_another_body(self, api, change):
        create(api)
        assert error(create(api, {**BODY, **change})) == (409, "idempotency_key_reuse")
        assert Job.objects.count() == 1

    def test_another_api_key(self, api):
        other = Api(make_key("write"))
        assert create(api).json()["id"] != create(other).json()["id"]
        assert jobs.enqueue(PLAIN, BODY["payload"], queue="mail", idempotency_key="k")
        assert Job.objects.count() == 3

    def test_a_refused_body_takes_no_key(self, api):
        assert error(create(api, {**BODY, "queue": "-"})) == (400, "invalid_option")
        assert create(api).headers.get("Idempotent-Replay") is None

    def test_without_a_key_nothing_is_kept(self, api):
        api.create()
        assert not Reply.objects.exists()

    def test_a_job_that_a_batch_made_is_described_as_it_is(self, api):
        (job,) = api.post("v1/jobs/batch", {"jobs": [{**BODY, "idempotency_key": "k"}]}).json()["ids"]
        jobs.cancel(job)
        again = create(api)
        assert (again.json()["id"], again.json()["state"]) == (job, "cancelled")
        assert again.headers["Idempotent-Replay"] == "true"

    def test_in_a_batch_each_item_has_its_own_key_or_none(self, api):
        of_the_project = jobs.enqueue(PLAIN, BODY["payload"], queue="mail", idempotency_key="k")
        batch = {"jobs": [BODY, {**BODY, "idempotency_key": "k"}]}
        first, second = (api.post("v1/jobs/batch", batch).json()["ids"] for _ in range(2))
        assert first[1] == second[1] != of_the_project
        assert first[0] != second[0]
        assert Job.objects.count() == 4
        batch["jobs"][1]["payload"] = {}
        other = api.post("v1/jobs/batch", batch)
        assert error(other) == (409, "idempotency_key_reuse")
        assert other.json()["error"]["details"] == [{"index": 1}]
        assert Job.objects.count() == 4

    def test_the_answer_goes_with_its_job(self, api, clock):
        from datetime import timedelta

        job = create(api).json()["id"]
        jobs.cancel(job)
        clock.advance(10)
        assert Reply.objects.count() == 1
        assert retention.prune({"cancelled": timedelta(seconds=1)}, "default") == 1
        assert not Reply.objects.exists()
        assert create(api).json()["id"] != job


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_fifty_at_once_make_one_job_and_one_answer(self, database_vendor, settings):
        settings.FLARE = {"API_RATE": None}
        key = make_key("write")
        begin = threading.Barrier(AT_ONCE)

        def ask(turn):
            if turn < AT_ONCE:
                begin.wait(30)
            return in_thread(partial(create, Api(key)))

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(ask, range(50)))
        assert {answer.status_code for answer in found} == {201}
        assert len({answer.content for answer in found}) == 1
        assert sum("Idempotent-Replay" not in answer.headers for answer in found) == 1
        assert Job.objects.count() == Reply.objects.count() == 1

    @pytest.mark.timeout(900)
    @pytest.mark.parametrize(("keys", "bodies"), RIVALS)
    def test_of_different_bodies_one_wins_under_each_key(self, settings, keys, bodies):
        settings.FLARE = {"API_RATE": None}
        text = make_key("write")
        begin = threading.Barrier(AT_ONCE)

        def ask(turn):
            if turn < AT_ONCE:
                begin.wait(30)
            key, number = divmod(turn, bodies)
            body = {**BODY, "payload": {"n": number}}
            answer = in_thread(partial(create, Api(text), body, f"key-{key}"))
            return key, number, answer

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(ask, range(keys * bodies)))
        won = {key: number for key, number, answer in found if answer.status_code == 201}
        lost = Counter((key, error(answer)) for key, _, answer in found if answer.status_code != 201)
        # On SQLite a request may also wait in vain for the one writer.
        assert {code for _, (_, code) in lost} <= {"idempotency_key_reuse", "idempotency_in_progress"}
        assert {status for _, (status, _) in lost} == {409}
        assert Counter(key for key, _ in lost.elements()) == dict.fromkeys(range(keys), bodies - 1)
        rows = Job.objects.values_list("idempotency_key", "payload")
        assert sorted((key, payload["n"]) for key, payload in rows) == sorted(
            (f"key-{key}", number) for key, number in won.items()
        )

    def test_a_twin_that_does_not_end(self, api, monkeypatch):
        monkeypatch.setattr(replay, "PATIENCE", 1)
        scope = "api:" + api.key.split("_")[1]
        with twin_in_flight(scope):
            answer = in_other_thread(partial(create, api))
        assert error(answer) == (409, "idempotency_in_progress")
        assert int(answer.headers["Retry-After"]) > 0

    def test_a_database_that_is_busy_is_no_twin(self, api, monkeypatch, database_vendor):
        # SQLite has one lock for all writers, elsewhere nothing that a plain creation waits for.
        monkeypatch.setattr(replay, "PATIENCE", 1)
        with twin_in_flight("api:other"):
            answer = in_other_thread(partial(api.post, "v1/jobs", BODY))
        if database_vendor == "sqlite":
            assert error(answer) == (503, "unavailable")
        else:
            assert answer.status_code == 201

    def test_a_twin_that_rolls_back_makes_room(self, api):
        scope = "api:" + api.key.split("_")[1]
        twin = twin_in_flight(scope)
        twin.__enter__()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(in_thread, partial(create, api))
            transaction.set_rollback(True)
            twin.__exit__(None, None, None)
            answer = asked.result(30)
        assert answer.status_code == 201
        assert [str(job.public_id) for job in Job.objects.all()] == [answer.json()["id"]]

    def test_the_connection_waits_as_long_as_before(self, api, database_vendor):
        question = {
            "sqlite": "PRAGMA busy_timeout",
            "postgres": "SHOW lock_timeout",
            "mariadb": "SELECT @@innodb_lock_wait_timeout",
        }[database_vendor]
        before = ask_database(question)
        create(api)
        create(api, {**BODY, "queue": "-"}, key="other")
        assert ask_database(question) == before


def ask_database(question):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()


class twin_in_flight(transaction.Atomic):  # noqa: N801 - used as a context
    """Hold a transaction open that has created the job of `BODY` under the key."""

    def __init__(self, scope):
        super().__init__("default", True, False)
        self.scope = scope

    def __enter__(self):
        super().__enter__()
        request = JobRequest(
            job=PLAIN,
            payload=BODY["payload"],
            options={"queue": "mail", "idempotency_key": "k"},
            scope=self.scope,
        )
        jobs.submit(request)


def in_thread(work):
    try:
        return work()
    finally:
        connections.close_all()


def in_other_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_thread, work).result(60)
