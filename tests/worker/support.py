"""What the tests of the worker's parts share."""

import threading
import uuid
from datetime import timedelta

from django_flare import job
from django_flare.definitions import registry
from django_flare.lifecycle.claim import ClaimedRow
from django_flare.worker.runs import Run

USING = "default"
PATIENCE = 25
"""Seconds until something that does not happen is a failure; more than SQLite's busy timeout of 20."""


def eventually(predicate, timeout=PATIENCE):
    """Ask `predicate` again and again until it is true; return what it said."""
    import time

    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (answer := predicate()):
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.005)
    return answer


class Stage:
    """See and hold the handlers that run in this process."""

    def __init__(self):
        self._lock = threading.Lock()
        self.running = set()
        self.started = []
        self.neighbours = {}
        self.gates = {}

    def perform(self, name):
        with self._lock:
            self.started.append(name)
            self.running.add(name)
            for each in self.running:
                self.neighbours.setdefault(each, set()).update(self.running - {each})
        try:
            gate = self.gates.get(name)
            assert gate is None or gate.wait(PATIENCE)
        finally:
            with self._lock:
                self.running.discard(name)

    def hold(self, *names):
        """Let these handlers wait until `free`."""
        self.gates.update({name: threading.Event() for name in names})

    def free(self, *names):
        for name in names or list(self.gates):
            self.gates[name].set()


stage = Stage()


@job(name="worker.act", queue="stage")
def act(payload: dict):
    stage.perform(payload["name"])


@job(name="worker.fail", queue="stage")
def fail(payload: dict):
    stage.perform(payload["name"])
    raise ValueError("boom")


@job(name="worker.fail_once", queue="stage", max_attempts=1)
def fail_once(payload: dict):
    stage.perform(payload["name"])
    raise ValueError("boom")


@job(name="worker.whole", queue="stage", atomic=True)
def whole(payload: dict): ...


@job(name="worker.idle", queue="stage")
def idle(payload: dict): ...


@job(name="worker.aidle", queue="stage")
async def aidle(payload: dict): ...


def make_run(handler=idle, **columns):
    """Return a run as the dispatcher makes it, of a row that no database has."""
    row = ClaimedRow(
        **{
            "id": 7,
            "public_id": uuid.UUID(int=7),
            "queue": "stage",
            "job_type": registry.resolve(handler).name,
            "attempt": 1,
            "max_attempts": 3,
            "losses": 0,
            "fence": 4,
            "timeout": timedelta(seconds=30),
            "payload": '{"name": "a"}',
            "tags": '{"team": "blue"}',
            "created_at": "2026-01-01 00:00:00",
            "parent_count": 0,
            "waited": 0.0,
            **columns,
        }
    )
    return Run(row, registry.resolve(handler), lambda: None)
