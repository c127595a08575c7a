"""What probes are told, over real HTTP."""

import http.client
import math
import os
import re
import socket
import subprocess
import sys
import threading

import pytest
from django.test import override_settings

from django_flare.worker import health
from django_flare.worker.health import HealthServer
from django_flare.worker.options import probe_limits
from django_flare.worker.tally import Totals
from django_flare.worker.vitals import Vitals
from tests.docs.pages import ROOT
from tests.worker.support import eventually

WELL = {
    "worker_id": "wrk_a",
    "slots": 10,
    "running": 3,
    "overdue": 0.0,
    "failing": 0.0,
    "beat_age": 2.0,
}


def vitals(**changed):
    return Vitals(**{**WELL, **changed})


class Probe:
    """A server, the vitals that it is told, and a client."""

    def __init__(self):
        self.vitals = [vitals()]
        self.is_stopping = False
        self.totals = Totals()
        self.server = HealthServer(
            0, probe_limits(), lambda: self.vitals, lambda: self.is_stopping, self.totals.sums
        )
        self.server.start()

    def ask(self, path, method="GET"):
        connection = http.client.HTTPConnection(health.HOST, self.server.port, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def probe():
    probe = Probe()
    yield probe
    probe.server.stop()


def test_a_worker_that_does_well_is_alive_and_ready(probe):
    assert probe.ask("/livez") == probe.ask("/readyz") == (200, "ok\n")


@pytest.mark.parametrize(
    ("changed", "live", "ready"),
    [
        ({"overdue": 29.0}, 200, 200),
        ({"overdue": 31.0}, 503, 503),
        ({"failing": 0.1}, 200, 503),
        ({"failing": 3600.0, "beat_age": 3600.0}, 200, 503),
        ({"beat_age": 14.0}, 200, 200),
        ({"beat_age": 16.0}, 200, 503),
        ({"beat_age": 59.0}, 200, 503),
        ({"beat_age": 61.0}, 503, 503),
        ({"beat_age": math.inf}, 503, 503),
        ({"worker_id": "", "beat_age": math.inf}, 200, 503),
    ],
)
def test_what_is_wrong_with_one(probe, changed, live, ready):
    """F60: the loops, not the process. An outage of the database is no reason for a restart."""
    probe.vitals = [vitals(**changed)]
    assert (probe.ask("/livez")[0], probe.ask("/readyz")[0]) == (live, ready)


def test_the_limits_follow_the_settings():
    with override_settings(FLARE={"LEASE": 90, "BEAT": 10}):
        probe = Probe()
    try:
        probe.vitals = [vitals(overdue=80.0, beat_age=29.0)]
        assert (probe.ask("/livez")[0], probe.ask("/readyz")[0]) == (200, 200)
        probe.vitals = [vitals(overdue=91.0)]
        assert probe.ask("/livez")[0] == 503
    finally:
        probe.server.stop()


def test_the_reason_names_the_worker(probe):
    probe.vitals = [vitals(), vitals(worker_id="wrk_b", overdue=40.0)]
    assert probe.ask("/livez") == (503, "wrk_b: the claim loop is 40 s overdue\n")
    probe.vitals = [vitals(failing=7.0)]
    assert probe.ask("/readyz") == (503, "wrk_a: the database has refused the claim loop for 7 s\n")


def test_without_a_process_it_is_alive_and_not_ready(probe):
    probe.vitals = []
    assert probe.ask("/livez")[0] == 200
    assert probe.ask("/readyz") == (503, "no process is there yet\n")


def test_a_worker_that_stops_is_alive_and_not_ready(probe):
    probe.is_stopping = True
    assert probe.ask("/livez")[0] == 200
    assert probe.ask("/readyz") == (503, "stopping\n")


def test_there_is_nothing_else(probe):
    for path in ("/", "/livez/", "/jobs", "/../etc/passwd", "/livez%0a"):
        assert probe.ask(path) == (404, "There are /livez, /readyz and /metrics.\n")
    assert probe.ask("/livez?verbose=1")[0] == 200


def test_only_reading_is_allowed(probe):
    assert probe.ask("/livez", "HEAD") == (200, "")
    for method in ("POST", "PUT", "DELETE", "TRACE", "OPTIONS"):
        assert probe.ask("/livez", method) == (405, "Only GET and HEAD.\n")


def test_what_is_no_request_is_answered_without_repeating_it(probe):
    with socket.create_connection((health.HOST, probe.server.port), timeout=20) as client:
        client.sendall(b"<script>alert(1)</script> x y z\r\n\r\n")
        answer = client.makefile("rb").read()
    assert b"400" in answer.splitlines()[0]
    assert b"script" not in answer


def test_it_listens_on_the_loopback_alone(probe):
    assert probe.server._server.server_address[0] == "127.0.0.1"


def test_vitals_that_cannot_be_told_are_no_answer_that_all_is_well(probe, caplog):
    probe.vitals = None
    assert probe.ask("/livez")[0] == 500
    assert "A probe could not be answered" in caplog.text


def test_a_slow_client_holds_up_nobody_and_is_cut_off(probe, monkeypatch):
    monkeypatch.setattr(health, "_PATIENCE", 2.0)
    slow = socket.create_connection((health.HOST, probe.server.port), timeout=20)
    with slow:
        slow.sendall(b"GET /livez HTTP/1.0\r\nX: ")
        assert probe.ask("/livez") == (200, "ok\n")
        # The server ends it although something comes again and again.
        assert eventually(lambda: _is_cut(slow))


def _is_cut(client):
    try:
        client.sendall(b"x")
    except OSError:
        return True
    return False


def test_a_port_that_is_taken_is_an_error_at_once(probe):
    with pytest.raises(OSError, match="in use"):
        HealthServer(probe.server.port, probe_limits(), list)


def test_a_port_is_free_again_after_the_stop(probe):
    port = probe.server.port
    probe.server.stop()
    again = HealthServer(port, probe_limits(), list)
    again.stop()
    assert "flare-health" not in {thread.name for thread in threading.enumerate() if thread.is_alive()}


class TestMetrics:
    def read(self, probe):
        status, text = probe.ask("/metrics")
        assert status == 200
        return {name: float(value) for name, value in re.findall(r"^(flare_\S+) (\S+)$", text, re.MULTILINE)}

    def test_processes_are_added_up(self, probe):
        probe.vitals = [vitals(), vitals(running=1, beat_age=4.0)]
        probe.totals.note(1, {"claimed": 5, "succeeded": 3, "timed_out": 1})
        probe.totals.note(2, {"claimed": 2, "failed": 1, "leases_lost": 1})
        found = self.read(probe)
        assert found["flare_jobs_claimed_total"] == 7
        assert found['flare_runs_finished_total{state="succeeded"}'] == 3
        assert found['flare_runs_finished_total{state="failed"}'] == 1
        assert found['flare_runs_finished_total{state="dead_letter"}'] == 0
        assert found["flare_runs_timed_out_total"] == found["flare_leases_lost_total"] == 1
        assert (found["flare_worker_processes"], found["flare_worker_slots"]) == (2, 20)
        assert (found["flare_worker_running"], found["flare_worker_beat_age_seconds"]) == (4, 4)

    def test_without_the_package_a_sentence_says_so(self):
        script = """
import sys
sys.modules["prometheus_client"] = None
import django
django.setup()
from django_flare.worker.health import HealthServer
from django_flare.worker.options import probe_limits
server = HealthServer(0, probe_limits(), list)
print(server.answer("/metrics"))
"""
        finished = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "404" in finished.stdout
        assert "Metrics need the package prometheus-client." in finished.stdout
