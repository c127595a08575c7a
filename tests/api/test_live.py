"""The API over real connections, as other programs use it."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from django_flare import jobs
from django_flare.models import Job
from tests.api.support import make_key
from tests.support import Driver

PLAIN = "tests.testapp.jobs.plain"


class Connection:
    """One connection to the live server, with a key."""

    def __init__(self, live_server, key):
        address = urlsplit(live_server.url)
        self.http = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, method, path, body=None, **headers):
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.http.request(method, f"/flare/{path}", body, sent)
        answer = self.http.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.mark.django_db(transaction=True)
class TestLive:
    def test_a_job_is_created_polled_and_done(self, live_server):
        connection = Connection(live_server, make_key("write"))
        body = json.dumps({"job_type": PLAIN, "payload": {"a": 1}})
        status, headers, body = connection.ask("POST", "v1/jobs", body)
        assert status == 201
        address = headers["Location"].removeprefix("/flare/")
        status, headers, _ = connection.ask("GET", address)
        tag = headers["ETag"]
        assert connection.ask("GET", address, If_None_Match=tag)[0] == 304
        Driver().succeed(json.loads(body)["id"], result='{"b": 2}')
        status, _, body = connection.ask("GET", address, If_None_Match=tag)
        assert (status, json.loads(body)["state"], json.loads(body)["result"]) == (200, "succeeded", {"b": 2})

    def test_a_large_body_is_refused_by_its_length(self, live_server):
        connection = Connection(live_server, make_key("write"))
        status, _, body = connection.ask("POST", "v1/jobs", b" " * 2_000_000)
        assert (status, json.loads(body)["error"]["code"]) == (413, "payload_too_large")

    def test_two_idempotency_keys_are_none(self, live_server):
        connection = Connection(live_server, make_key("write"))
        body = json.dumps({"job_type": PLAIN}).encode()
        connection.http.putrequest("POST", "/flare/v1/jobs")
        for name, value in (*connection.headers.items(), ("Content-Length", len(body))):
            connection.http.putheader(name, value)
        for _ in range(2):
            connection.http.putheader("Idempotency-Key", "k")
        connection.http.endheaders(body)
        answer = connection.http.getresponse()
        details = json.loads(answer.read())["error"]["details"]
        assert (answer.status, [each["field"] for each in details]) == (400, ["idempotency_key"])
        assert not Job.objects.exists()

    def test_a_body_in_chunks(self, live_server):
        connection = Connection(live_server, make_key("write"))
        status, _, body = connection.ask("POST", "v1/jobs", iter([b"{}"]), Transfer_Encoding="chunked")
        assert (status, json.loads(body)["error"]["code"]) == (400, "malformed_json")

    def test_fifty_at_once_under_one_key(self, live_server):
        key = make_key("write")
        body = json.dumps({"job_type": PLAIN, "payload": {"a": 1}})

        def create(_):
            return Connection(live_server, key).ask("POST", "v1/jobs", body, Idempotency_Key="k")

        with ThreadPoolExecutor(25) as pool:
            found = list(pool.map(create, range(50)))
        assert {status for status, _, _ in found} == {201}
        assert len({answer for _, _, answer in found}) == 1
        assert Job.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_over_asgi():
    headers = {"Authorization": f"Bearer {make_key()}"}

    @async_to_sync
    async def ask(method, path, data=""):
        return await AsyncClient().generic(method, path, data, "application/json", headers=headers)

    made = ask("POST", "/flare/v1/jobs", json.dumps({"job_type": PLAIN}))
    assert made.status_code == 201
    assert jobs.get_status(made.json()["id"]).job_type == PLAIN
    address = made.headers["Location"]
    assert ask("GET", "/flare/v1/jobs?limit=1").json()["jobs"] == [made.json()]
    assert ask("POST", f"{address}/cancel", "{}").status_code == 400
    assert ask("POST", f"{address}/cancel").json()["state"] == "cancelled"
