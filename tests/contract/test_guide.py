"""What the guide to the client shows works against a real server."""

import asyncio

import httpx
import pytest

from django_flare import JobState, jobs
from django_flare.client import FlareClient
from tests.contract.support import PLAIN, Stage
from tests.docs.pages import ROOT, python_blocks

BLOCKS = python_blocks(ROOT / "docs/how-to/http-client.rst")


@pytest.fixture
def shown(address, key, monkeypatch):
    """Run every block of the guide, with this server's address and a job type that it has."""
    monkeypatch.setenv("FLARE_API_KEY", key)
    names = {}
    for block in BLOCKS:
        code = block.code.replace("https://shop.example.com/flare", address)
        for job_type in ("shop.jobs.greet", "shop.jobs.expect"):
            code = code.replace(job_type, PLAIN)
        exec(code, names)
    return names


def test_the_first_job(shown):
    found = jobs.get_status(shown["job_id"])
    assert (found.payload, found.queue, found.state) == ({"name": "Grace"}, "mail", JobState.PENDING)
    assert shown["status"] == found


def test_payloads(shown, client):
    ids = shown["announce"](client)
    due = "2030-01-01T00:00:00Z"
    assert [jobs.get_status(job_id).payload for job_id in ids] == [
        {"sku": "tea", "due": due},
        {"sku": "camera", "due": due},
    ]
    assert shown["announce"](client) == ids


def test_following(shown, client):
    job_id = Stage(jobs).job(JobState.SUCCEEDED)
    assert shown["follow"](client, job_id) == jobs.get_status(job_id)
    assert shown["follow"](client, "unknown") is None


def test_errors(shown, client, settings, capsys):
    greet = shown["greet"]
    job_id = greet(client, "ada")
    assert greet(client, "ada") == job_id
    assert greet(client, float("nan")) is None
    client.enqueue(PLAIN, {"name": "another"}, idempotency_key="greeting:grace")
    assert greet(client, "grace") is None
    settings.FLARE = {"API_RATE": "1/day"}
    # In the day's last minute it would wait for the next one.
    client._sleep = lambda seconds: None
    client.list_jobs()
    assert greet(client, "linus") is None
    with FlareClient("http://127.0.0.1:9", "key", transport=httpx.MockTransport(_nobody)) as nobody:
        nobody._sleep = lambda seconds: None
        assert greet(nobody, "ada") is None
    told = capsys.readouterr().out.splitlines()
    starts = (
        "does not fit the type:",
        "greeted with another payload",
        "too often; again at 2",
        "did not work: connection_error",
    )
    assert [line.startswith(start) for line, start in zip(told, starts, strict=True)] == [True] * 4


def _nobody(request):
    raise httpx.ConnectError("refused")


def test_coroutines(shown, address, key):
    ids = asyncio.run(shown["greet_all"](address, key, ["ada", "grace"]))
    assert [jobs.get_status(job_id).payload["name"] for job_id in ids] == ["ada", "grace"]
