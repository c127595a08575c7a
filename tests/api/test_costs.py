"""What is refused costs next to nothing: it is not read, not parsed, not kept."""

import tracemalloc
from io import BytesIO
from types import SimpleNamespace

import pytest

from django_flare.api import query, strict_json
from tests.api.support import error

pytestmark = [pytest.mark.django_db, pytest.mark.whole_run_on("postgres")]

MEGABYTE = 2**20
PLAIN = "tests.testapp.jobs.plain"
DEEP = f'{{"job_type": "{PLAIN}", "payload": {{"a": {"[" * 500_000}{"]" * 500_000}}}}}'.encode()
BRACKETS_IN_A_STRING = b'{"a": "' + b"[" * 1_000_000 + b'"}'


class Counted(BytesIO):
    """A body that counts what is read of it."""

    taken = 0

    def read(self, *size):
        data = super().read(*size)
        self.taken += len(data)
        return data


def send(api, body, path="v1/jobs"):
    """Post the body; return the answer and the most memory that was held meanwhile, in bytes."""
    headers = {"Authorization": f"Bearer {api.key}"}
    environment = {
        "wsgi.input": body,
        "CONTENT_LENGTH": str(len(body.getvalue())),
        "CONTENT_TYPE": "application/json",
    }
    tracemalloc.start()
    try:
        answer = api.client.generic("POST", f"/flare/{path}", headers=headers, **environment)
        return answer, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def no_parsing(monkeypatch):
    """Let whatever parses JSON fail the test."""
    monkeypatch.setattr(strict_json, "_DECODER", SimpleNamespace(decode=refuse))


def refuse(*_, **__):
    raise AssertionError("it was parsed")


@pytest.fixture(autouse=True)
def _warm(api):
    """Let the first request be past, which imports and caches."""
    api.post("v1/jobs", {})


@pytest.mark.parametrize("path", ["v1/jobs", "v1/jobs/batch"])
def test_a_large_body_is_not_read(api, no_parsing, path):
    body = Counted(b" " * 20 * MEGABYTE)
    answer, held = send(api, body, path)
    assert error(answer) == (413, "payload_too_large")
    # The first byte tells whether there is a body at all.
    assert body.taken <= 1
    assert held < MEGABYTE


def test_a_body_with_too_many_keys_is_not_read(api, no_parsing):
    members = ",".join(f'"{n}":0' for n in range(200_000))
    body = Counted(f'{{"job_type": "{PLAIN}", "payload": {{{members}}}}}'.encode())
    answer, held = send(api, body)
    assert error(answer) == (413, "payload_too_large")
    assert body.taken <= 1
    assert held < MEGABYTE


def test_deep_nesting_is_counted_and_not_parsed(api, no_parsing):
    answer, held = send(api, Counted(DEEP))
    assert error(answer) == (400, "invalid_payload")
    # The body, its pieces, its brackets: a few times its size, whatever the depth.
    assert held < 8 * MEGABYTE


def test_brackets_in_a_string_hold_no_more(api):
    answer, held = send(api, Counted(BRACKETS_IN_A_STRING))
    assert error(answer) == (400, "invalid_request")
    assert held < 12 * MEGABYTE


@pytest.mark.parametrize("pair", ["state=pending", "tag=a:1", "a"])
def test_many_filters_are_not_parsed(api, monkeypatch, pair):
    monkeypatch.setattr(query, "parse_qsl", refuse)
    address = "v1/jobs?" + "&".join([pair] * 10_000)
    tracemalloc.start()
    try:
        answer = api.get(address)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error(answer) == (400, "invalid_request")
    # Of an address of up to 140 KB.
    assert held < 2 * MEGABYTE
