"""A client of the API for tests: paths below the prefix, keys by scope, bodies as JSON."""

import json

from django.test import Client

from django_flare.store import api_keys
from tests.api.conformance import require_documented

PREFIX = "/flare/"


class Api:
    """Ask the API with one key, or with none; each answer is checked for what every answer has."""

    def __init__(self, key=None, **options):
        self.key = key
        options.setdefault("raise_request_exception", False)
        self.client = Client(**options)

    def ask(self, method, path, body=None, *, data=None, content_type="application/json", **headers):
        """Send a request; `body` is made JSON, `data` is sent as it is."""
        if body is not None:
            data = json.dumps(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if data is None:
            data, content_type = b"", ""
        answer = self.client.generic(method, PREFIX + path, data, content_type, headers=sent)
        assert answer.headers["X-Request-Id"], (method, path)
        require_documented(method, path, data, answer)
        return answer

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.ask("POST", path, body, **options)

    def create(self, job_type="tests.testapp.jobs.plain", **fields):
        """Create a job; return its object."""
        answer = self.post("v1/jobs", {"job_type": job_type, **fields})
        assert answer.status_code == 201, answer.content
        return answer.json()


def make_key(scope="admin", name=None, **options):
    """Return the text of a new key with `scope`."""
    return api_keys.issue(name or f"{scope} {api_keys.listed().count()}", [scope], **options).text


def error(answer):
    """Return the error of an answer as (status, code), once its envelope has been found sound."""
    body = answer.json()
    assert set(body) == {"error"}, body
    envelope = body["error"]
    assert {"code", "message", "request_id"} <= set(envelope) <= {"code", "message", "request_id", "details"}
    assert envelope["request_id"] == answer.headers["X-Request-Id"]
    assert envelope["message"]
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status_code, envelope["code"]


def reasons(answer):
    """Return (field, reason) of each detail of an error."""
    details = answer.json()["error"].get("details", [])
    return [(each["field"], each["reason"]) for each in details if "field" in each]
