"""The start and the end of a worker, in this process."""

import math
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, ProgrammingError

from django_flare import job, jobs
from django_flare.lifecycle import recovery
from django_flare.models import Worker
from django_flare.worker.options import WorkerOptions
from django_flare.worker.service import WorkerService
from tests.support import row, state
from tests.worker.support import PATIENCE, act, eventually, idle, stage

pytestmark = pytest.mark.django_db(transaction=True)


def _fail(monkeypatch, errors):
    register, left = recovery.register, list(errors)

    def sometimes(*args, **kwargs):
        if left:
            raise left.pop(0)
        register(*args, **kwargs)

    monkeypatch.setattr(recovery, "register", sometimes)
    return left


def test_it_waits_for_a_database_that_is_not_there_yet(monkeypatch, caplog):
    """F33: also at the start it does not exit."""
    job_id = jobs.enqueue(idle, {})
    left = _fail(monkeypatch, [OperationalError("no server"), OperationalError("starting up")])
    assert WorkerService(WorkerOptions(burst=True, concurrency=1)).run()
    assert left == []
    assert state(job_id) == "succeeded"
    assert caplog.text.count("The database does not answer yet") == 2
    assert not Worker.objects.exists()


def test_told_to_stop_before_it_could_register_it_ends(monkeypatch):
    service = WorkerService(WorkerOptions(concurrency=1))

    def gone(*args, **kwargs):
        service.stop()
        raise OperationalError("no server")

    monkeypatch.setattr(recovery, "register", gone)
    assert service.run()
    assert service.ended.is_set()


def test_before_it_has_registered_it_is_alive_and_has_no_name():
    vitals = WorkerService(WorkerOptions(concurrency=3)).vitals()
    assert (vitals.worker_id, vitals.slots, vitals.running) == ("", 3, 0)
    assert (vitals.overdue, vitals.failing, vitals.beat_age) == (0, 0, math.inf)


def test_it_tells_what_it_has_done():
    jobs.enqueue(idle, {})
    service = WorkerService(WorkerOptions(burst=True, concurrency=1))
    assert service.run()
    counts = service.vitals().counts
    assert (counts["claimed"], counts["succeeded"], counts["failed"]) == (1, 1, 0)


def test_it_gives_everything_back_although_the_database_fails_once(monkeypatch):
    """Otherwise a clean stop would cost its jobs a loss."""
    resign, left = recovery.resign, [OperationalError("gone"), OperationalError("gone")]

    def sometimes(*args):
        if left:
            raise left.pop()
        return resign(*args)

    monkeypatch.setattr(recovery, "resign", sometimes)
    service = WorkerService(WorkerOptions(burst=True, concurrency=1))
    assert service.run()
    assert (left, service.has_resigned) == ([], True)
    assert not Worker.objects.exists()


def test_an_error_that_will_not_pass_is_raised(monkeypatch):
    """A missing table is no outage: waiting for it would hide the mistake."""
    _fail(monkeypatch, [ProgrammingError("no such table")])
    with pytest.raises(ProgrammingError):
        WorkerService(WorkerOptions(burst=True)).run()


def test_it_resigns_whatever_else_goes_wrong_at_its_end(monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("cannot join thread before it is started")

    job_id = jobs.enqueue(idle, {})
    service = WorkerService(WorkerOptions(burst=True, concurrency=1))
    monkeypatch.setattr(service._dispatcher.slots, "stop", fail)
    assert service.run() is False
    assert service.has_resigned
    assert service.ended.is_set()
    assert state(job_id) == "succeeded"
    assert not Worker.objects.exists()
    assert "could not end in order" in caplog.text


class TestRetiring:
    """A handler that nothing ends has its process replaced (F49)."""

    @pytest.fixture(autouse=True)
    def _stage(self, settings):
        settings.FLARE = {"TIMEOUT_GRACE": 0.1}
        stage.__init__()
        deaf_may_end.clear()
        yield
        deaf_may_end.set()
        stage.free()

    def start(self, **options):
        service = WorkerService(WorkerOptions(concurrency=2, **options), lambda: None)
        self.answers = []
        thread = threading.Thread(target=lambda: self.answers.append(service.run()), daemon=True)
        thread.start()
        return service

    def overrun(self):
        return jobs.enqueue(deaf, {}, timeout=timedelta(seconds=1), max_attempts=1)

    def test_it_claims_no_more_drains_and_ends(self, caplog):
        stage.hold("neighbour")
        overrunner, neighbour = self.overrun(), jobs.enqueue(act, {"name": "neighbour"})
        service = self.start()
        eventually(lambda: service.retiring)
        # The overrunner is recorded at once, its neighbour has its time, and nobody else starts here.
        eventually(lambda: state(overrunner) == "dead_letter")
        late = jobs.enqueue(idle, {})
        assert not service.ended.is_set()
        assert state(neighbour) == "processing"
        stage.free()
        assert service.ended.wait(PATIENCE)
        assert (state(neighbour), state(late)) == ("succeeded", "pending")
        assert service.retiring == f"worker.deaf {overrunner} did not end when told to"
        assert caplog.text.count(f"{service.retiring}; its process is replaced") == 1
        # The thread is still there, so whoever runs this in a process of its own ends that.
        eventually(lambda: self.answers)
        assert self.answers == [False]
        assert not Worker.objects.exists()

    def test_a_neighbour_that_does_not_end_in_time_is_given_back(self):
        stage.hold("neighbour")
        self.overrun()
        neighbour = jobs.enqueue(act, {"name": "neighbour"})
        service = self.start(shutdown_timeout=0.2)
        assert service.ended.wait(PATIENCE)
        assert (state(neighbour), row(neighbour).attempt) == ("pending", 0)

    def test_the_first_signal_meanwhile_is_no_second_one(self):
        stage.hold("neighbour")
        self.overrun()
        neighbour = jobs.enqueue(act, {"name": "neighbour"})
        service = self.start()
        eventually(lambda: service.retiring)
        service.stop()
        assert not service.ended.wait(0.5)
        service.stop()
        assert service.ended.wait(PATIENCE)
        assert state(neighbour) == "pending"

    def test_with_nobody_to_replace_it_the_process_goes_on(self, caplog):
        overrunner = self.overrun()
        after = jobs.enqueue(idle, {})
        service = WorkerService(WorkerOptions(burst=True, concurrency=1))
        assert service.run() is False
        assert (state(overrunner), state(after)) == ("dead_letter", "succeeded")
        assert f"{overrunner} did not end when told to; its thread stays behind" in caplog.text


deaf_may_end = threading.Event()


@job(name="worker.deaf")
def deaf(payload: dict):
    while True:
        # All of the waiting inside: what is raised in this thread may strike at any line.
        try:
            while not deaf_may_end.is_set():
                deaf_may_end.wait(0.01)
        except BaseException:
            continue
        break
