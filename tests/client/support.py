"""A client whose server is a function: it answers what a test says and keeps what it was asked."""

import json

import httpx

from django_flare.client import AsyncFlareClient, FlareClient

URL = "https://flare.example/flare"
KEY = "flare_abc_this-is-secret"
ID = "0197b0de-0000-7000-8000-000000000001"

JOB = {
    "id": ID,
    "state": "pending",
    "job_type": "mail.welcome",
    "queue": "default",
    "priority": 0,
    "payload": {},
    "tags": {},
    "attempt": 0,
    "max_attempts": 3,
    "timeout_seconds": 1800,
    "progress": None,
    "error_message": None,
    "result": None,
    "result_error": None,
    "created_at": "2030-01-01T00:00:00.000001Z",
    "run_at": "2030-01-01T00:00:00Z",
    "started_at": None,
    "completed_at": None,
    "parent_job_ids": [],
    "cancelled_by": None,
    "worker_id": None,
}


def answer(value=JOB, status=200, **headers):
    """Return an answer with this JSON body."""
    named = {name.replace("_", "-"): str(text) for name, text in headers.items()}
    return httpx.Response(status, json=value, headers=named)


def refusal(code, status, message="why not", details=None, **headers):
    """Return an error as the API writes it."""
    error = {"code": code, "message": message, "request_id": "r-1"}
    if details is not None:
        error["details"] = details
    return answer({"error": error}, status, **headers)


class Server:
    """Give the answers one after the other, the last one again and again; an exception is raised."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(found, Exception):
            raise found
        # Each request needs an answer of its own: reading one changes it.
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    @property
    def request(self):
        """The only request."""
        (request,) = self.requests
        return request

    @property
    def body(self):
        """The body of the only request."""
        return json.loads(self.request.content)


def connect(server, **options):
    """Return a client of the server and the list of the pauses that it makes."""
    client = FlareClient(URL, KEY, transport=httpx.MockTransport(server), **options)
    pauses = []
    client._sleep = pauses.append
    return client, pauses


def connect_async(server, **options):
    """Return the other client of the server and the list of the pauses that it makes."""
    client = AsyncFlareClient(URL, KEY, transport=httpx.MockTransport(server), **options)
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    client._sleep = sleep
    return client, pauses
