"""The same verbs four ways: in process and over HTTP, for threads and for coroutines."""

import asyncio

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.core.servers.basehttp import WSGIRequestHandler

from django_flare import jobs
from django_flare.client import AsyncFlareClient, FlareClient

# Without TLS there is nothing to verify; reading all certificates takes longer than most tests.


class Twins:
    """Call the verbs of `jobs` that are for coroutines."""

    def __getattr__(self, verb):
        return async_to_sync(getattr(jobs, f"a{verb}"))


class Awaited:
    """Call the verbs of the client for coroutines, all in one event loop."""

    def __init__(self, address, key):
        self._runner = asyncio.Runner()
        self._client = AsyncFlareClient(address, key, transport=httpx.AsyncHTTPTransport(verify=False))

    def __getattr__(self, verb):
        async def run(*arguments, **options):
            return await getattr(self._client, verb)(*arguments, **options)

        return lambda *arguments, **options: self._runner.run(run(*arguments, **options))

    def end(self):
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(autouse=True)
def _answers_in_one_go(monkeypatch):
    """Spare each request the 40 ms by which Django's test server holds back the body of an answer."""
    monkeypatch.setattr(WSGIRequestHandler, "disable_nagle_algorithm", True)


@pytest.fixture
def key(transactional_db):
    """Return the text of an API key that may do everything, whom nobody has counted."""
    from django_flare.store import api_keys

    cache.clear()
    return api_keys.issue("contract", ["admin"]).text


@pytest.fixture
def address(live_server):
    """Return the address of the API on a live server."""
    return f"{live_server.url}/flare/"


@pytest.fixture
def client(address, key):
    """Return the client, connected to the live server."""
    with FlareClient(address, key, transport=httpx.HTTPTransport(verify=False)) as client:
        yield client


@pytest.fixture
def awaited(address, key):
    """Return the client for coroutines, connected to the live server."""
    awaited = Awaited(address, key)
    yield awaited
    awaited.end()


# The live server must be asked for by name, or pytest-django does not let its host in.


@pytest.fixture(params=["jobs", "client"])
def verbs(request, client):
    """Return the verbs, in process and over HTTP."""
    return jobs if request.param == "jobs" else client


@pytest.fixture(params=["jobs", "twins", "client", "awaited"])
def every_verbs(request, client, awaited):
    """Return the verbs, also those for coroutines."""
    return {"jobs": jobs, "twins": Twins(), "client": client, "awaited": awaited}[request.param]
