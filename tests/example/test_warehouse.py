"""The program that uses the shop's HTTP API from outside."""

import subprocess
import sys

import httpx
import pytest

from django_flare import JobState, jobs
from example_project import warehouse
from tests.example.test_demo import ROOT
from tests.support import Driver


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(warehouse, "_PAUSE", 0)


class Server:
    """Tell of a job in these states, one after the other, each twice; the same again is a 304."""

    def __init__(self, *states):
        self._left = [state for state in states for _ in range(2)]
        self.asked_with = []

    def __call__(self, request):
        self.asked_with.append(request.headers.get("If-None-Match"))
        state = self._left.pop(0)
        if request.headers.get("If-None-Match") == f'"{state}"':
            return httpx.Response(304)
        progress = {"pending": None, "processing": 0.5}.get(state, 1.0)
        return httpx.Response(
            200, json={"state": state, "progress": progress}, headers={"ETag": f'"{state}"'}
        )


def test_it_prints_changes_alone_and_counts_the_answers_that_told_nothing_new(capsys):
    server = Server("pending", "processing", "succeeded")
    with httpx.Client(transport=httpx.MockTransport(server)) as http:
        assert warehouse.follow(http, "https://shop.example/job") is JobState.SUCCEEDED
    assert server.asked_with == [None, '"pending"', '"pending"', '"processing"', '"processing"']
    lines = [line.split(" s  ")[-1] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "pending",
        "processing 50%",
        "succeeded 100%",
        "asked 5 times, 2 answers were 304 Not Modified",
    ]


@pytest.mark.django_db(transaction=True)
def test_the_real_server_tells_changes_alone(live_server, capsys):
    from tests.api.support import make_key

    job_id = jobs.enqueue("shop.PrintLabels", {"sku": "tea", "parcels": 1})
    answers = []

    def note(response):
        answers.append(response.status_code)
        if len(answers) == 3:
            Driver().succeed(job_id)

    headers = {"Authorization": f"Bearer {make_key('read')}"}
    with httpx.Client(headers=headers, event_hooks={"response": [note]}) as http:
        found = warehouse.follow(http, f"{live_server.url}/flare/v1/jobs/{job_id}")
    assert found is JobState.SUCCEEDED
    assert answers == [200, 304, 304, 200]


def test_it_has_no_django():
    program = """if True:
        import sys
        for name in ("django", "rest_framework", "environ"):
            sys.modules[name] = None
        import example_project.warehouse
        print("imported")
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("imported\n", "")
