"""Taking back the runs of dead children."""

import os
import subprocess
import sys
import threading
import time

import pytest
from django.db import OperationalError, ProgrammingError, connection

from django_flare.lifecycle import recovery
from django_flare.models import Worker
from django_flare.states import Event
from django_flare.worker.board import Overrun
from django_flare.worker.errands import Errand
from django_flare.worker.parents import ORPHANED
from django_flare.worker.recoverer import Recoverer, await_stop, run_errand
from tests.support import Driver, make_job, row, state
from tests.system.support import ROOT, connected_by_way_of, proxied
from tests.worker.support import PATIENCE, USING, eventually

pytestmark = pytest.mark.django_db(transaction=True)


def recover(limit=10.0, seconds=PATIENCE, **runs):
    return Recoverer(USING, limit).recover({f"wrk_{name}": event for name, event in runs.items()}, seconds)


def test_those_past_their_end_are_recorded_as_such():
    """F49: and the others given back."""
    driver, late, stopped, other = Driver("wrk_killed"), *(make_job(max_attempts=1) for _ in range(3))
    runs = [driver.start(each) for each in (late, stopped, other)]
    overran = [Overrun(run.id, run.fence, stop) for run, stop in zip(runs[:2], [False, True], strict=True)]
    errand = Errand(supervisor=os.getppid(), runs={"wrk_killed": Event.RELEASE}, overran=overran)
    assert run_errand(errand, USING)
    assert [state(each) for each in (late, stopped, other)] == ["dead_letter", "cancelled", "pending"]
    assert row(late).error_message.startswith("JobTimeout: the attempt ran longer than its timeout")


class TestAwaitingAStop:
    """F49: for a process that cannot learn of it."""

    def ask(self, *names):
        runs = {f"wrk_{name}": Event.RELEASE for name in names}
        return await_stop(Errand(supervisor=os.getppid(), runs=runs, asks=True), USING)

    @pytest.fixture(autouse=True)
    def _soon(self, settings):
        settings.FLARE = {"LEASE": 1, "BEAT": 0.1, "TIMEOUT_GRACE": 0.5}

    def test_a_run_that_was_asked_has_its_grace(self):
        driver, job = Driver("wrk_silent"), make_job()
        driver.start(job)
        driver.request_stop(job)
        before = time.monotonic()
        assert self.ask("nobody", "silent")
        assert time.monotonic() - before >= 0.5
        assert state(job) == "processing"

    def test_without_one_it_ends_with_two_leases(self, monkeypatch):
        asked, other = Driver("wrk_other"), make_job()
        asked.start(other)
        asked.request_stop(other)
        Driver("wrk_silent").start(make_job())
        assert not self.ask("silent")

    def test_a_database_that_is_away_is_asked_again(self, monkeypatch):
        answers = [OperationalError("no server"), False, True]

        def answer(*_):
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(recovery, "is_any_to_stop", answer)
        assert self.ask("silent")
        assert answers == []


def fail(monkeypatch, *errors):
    recover_worker, left = recovery.recover_worker, list(errors)

    def sometimes(*args):
        if left:
            raise left.pop(0)
        return recover_worker(*args)

    monkeypatch.setattr(recovery, "recover_worker", sometimes)
    return left


def test_it_ends_the_runs_as_told():
    lost, released = Driver("wrk_lost"), Driver("wrk_released")
    first, second = make_job(), make_job()
    lost.start(first)
    released.start(second)
    before = set(threading.enumerate())
    assert recover(lost=Event.LOSE, released=Event.RELEASE, nobody=Event.LOSE)
    assert [(state(each), row(each).losses) for each in (first, second)] == [("pending", 1), ("pending", 0)]
    assert not Worker.objects.exists()
    eventually(lambda: set(threading.enumerate()) <= before)


def test_it_goes_on_when_the_database_answers_again(monkeypatch, caplog):
    """F33: said once."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    left = fail(monkeypatch, *[OperationalError("no server")] * 4)
    assert recover(lost=Event.LOSE)
    assert left == []
    assert row(job).losses == 1
    assert caplog.text.count("are taken back when the database answers") == 1


def test_it_gives_up_when_the_time_is_over(monkeypatch):
    """The lease ends them then."""
    fail(monkeypatch, *[OperationalError("no server")] * 1000)
    assert not recover(lost=Event.LOSE, seconds=0.2)


def test_an_error_that_will_not_pass_keeps_it_from_no_other(monkeypatch, caplog):
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    fail(monkeypatch, ProgrammingError("no such table"), RuntimeError("a bug"))
    assert not recover(one=Event.LOSE, two=Event.LOSE, lost=Event.LOSE)
    assert row(job).losses == 1
    assert caplog.text.count("could not be taken back; the lease ends them") == 2


def test_one_whose_rows_are_locked_holds_up_no_other(monkeypatch):
    """And is asked for at growing intervals."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    recover_worker, asked = recovery.recover_worker, []

    def one_locked(worker_id, *args):
        asked.append((worker_id, time.monotonic()))
        if worker_id != "wrk_locked":
            return recover_worker(worker_id, *args)
        return 0 if len(asked) == 6 else None

    monkeypatch.setattr(recovery, "recover_worker", one_locked)
    assert recover(locked=Event.LOSE, lost=Event.LOSE)
    assert [name for name, _ in asked] == ["wrk_locked", "wrk_lost", *["wrk_locked"] * 4]
    assert row(job).losses == 1
    assert asked[5][1] - asked[4][1] > 0.3


def test_without_room_for_a_thread_it_does_its_work(monkeypatch, caplog):
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    monkeypatch.setattr(threading.Thread, "start", _no_room)
    assert recover(lost=Event.LOSE)
    assert row(job).losses == 1
    assert "No thread could be started to watch a connection" in caplog.text


def _no_room(thread):
    raise RuntimeError("can't start new thread")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no network")
def test_a_half_open_connection_is_given_up(monkeypatch, caplog):
    """F37: all others' runs would wait until TCP gives up."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    with proxied() as proxy, connected_by_way_of(proxy.port):
        recover_worker, calls = recovery.recover_worker, []

        def cut_off_after_the_first(worker_id, *args):
            calls.append(worker_id)
            if len(calls) == 1:
                recover_worker("wrk_nobody", *args)
                proxy.swallow()
                return None
            if "are taken back when the database answers" in caplog.text:
                proxy.pass_on()
            return recover_worker(worker_id, *args)

        monkeypatch.setattr(recovery, "recover_worker", cut_off_after_the_first)
        assert recover(limit=1, lost=Event.LOSE)
    assert len(calls) > 2
    assert row(job).losses == 1


class TestOnAnErrand:
    """The command as a supervisor sends it."""

    def send(self, supervisor):
        errand = Errand(supervisor=supervisor, runs={"wrk_lost": Event.LOSE})
        return subprocess.run(
            [sys.executable, "-m", "django", "flare_worker", "--skip-checks"],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **errand.environment()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_it_takes_back_what_it_is_told_and_ends(self):
        driver, job = Driver("wrk_lost"), make_job()
        driver.start(job)
        finished = self.send(os.getpid())
        assert finished.returncode == 0, finished.stderr
        assert row(job).losses == 1
        (line,) = finished.stderr.splitlines()
        assert line.endswith(" WARNING Took back 1 jobs of worker wrk_lost")

    def test_it_ends_without_its_supervisor(self):
        """F54: nothing that belongs to a worker outlives it."""
        driver, job = Driver("wrk_lost"), make_job()
        driver.start(job)
        assert self.send(1).returncode == ORPHANED
        assert state(job) == "processing"
