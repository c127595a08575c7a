"""Taking back the runs of dead children, on a thread of its own."""

import threading
import time

import pytest
from django.db import OperationalError, ProgrammingError, connection

from django_flare.lifecycle import recovery
from django_flare.models import Worker
from django_flare.states import Event
from django_flare.worker.recoverer import Recoverer
from tests.support import Driver, make_job, row, state
from tests.system.support import connected_by_way_of, proxied
from tests.worker.support import PATIENCE, USING, eventually

pytestmark = pytest.mark.django_db(transaction=True)


_others = set()


@pytest.fixture(autouse=True)
def _threads_of_other_tests():
    _others.clear()
    _others.update(threading.enumerate())


def threads():
    names = ("flare-recoverer", "flare-deadlines")
    return [each for each in threading.enumerate() if each.name in names and each not in _others]


def fail(monkeypatch, *errors):
    recover_worker, left = recovery.recover_worker, list(errors)

    def sometimes(*args):
        if left:
            raise left.pop(0)
        return recover_worker(*args)

    monkeypatch.setattr(recovery, "recover_worker", sometimes)
    return left


def test_it_ends_the_runs_as_told_and_then_its_thread():
    lost, released = Driver("wrk_lost"), Driver("wrk_released")
    first, second = make_job(), make_job()
    lost.start(first)
    released.start(second)
    recoverer = Recoverer(USING)
    recoverer.put("wrk_lost", Event.LOSE)
    recoverer.put("wrk_released", Event.RELEASE)
    assert recoverer.finish(PATIENCE)
    eventually(lambda: not threads())
    assert [(state(each), row(each).losses) for each in (first, second)] == [("pending", 1), ("pending", 0)]
    assert not Worker.objects.exists()

    recoverer.put("wrk_nobody", Event.LOSE)
    assert recoverer.finish(PATIENCE)


def test_it_goes_on_when_the_database_answers_again(monkeypatch, caplog):
    """F33: said once."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    left = fail(monkeypatch, *[OperationalError("no server")] * 4)
    recoverer = Recoverer(USING)
    recoverer.put("wrk_lost", Event.LOSE)
    assert recoverer.finish(PATIENCE)
    assert left == []
    assert row(job).losses == 1
    assert caplog.text.count("are taken back when the database answers") == 1


def test_an_error_that_will_not_pass_keeps_it_from_no_other(monkeypatch, caplog):
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    fail(monkeypatch, ProgrammingError("no such table"), RuntimeError("a bug"))
    recoverer = Recoverer(USING)
    for worker_id in ("wrk_one", "wrk_two", "wrk_lost"):
        recoverer.put(worker_id, Event.LOSE)
    assert recoverer.finish(PATIENCE)
    assert row(job).losses == 1
    assert caplog.text.count("could not be taken back; the lease ends them") == 2


def test_one_whose_rows_are_locked_holds_up_no_other(monkeypatch):
    """And is asked for at growing intervals."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    recover_worker, moments, is_free = recovery.recover_worker, [], threading.Event()

    def one_locked(worker_id, *args):
        if worker_id != "wrk_locked":
            return recover_worker(worker_id, *args)
        moments.append(time.monotonic())
        return 0 if is_free.is_set() else None

    monkeypatch.setattr(recovery, "recover_worker", one_locked)
    recoverer = Recoverer(USING)
    recoverer.put("wrk_locked", Event.LOSE)
    eventually(lambda: moments)
    recoverer.put("wrk_lost", Event.LOSE)
    eventually(lambda: row(job).losses == 1)
    eventually(lambda: len(moments) == 5)
    assert not recoverer.finish(0)
    is_free.set()
    assert recoverer.finish(PATIENCE)
    assert moments[4] - moments[3] > 0.3


def test_without_room_for_a_thread_the_next_one_tries_again(monkeypatch, caplog):
    """The supervisor must not end by it."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    recoverer = Recoverer(USING)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_room)
        recoverer.put("wrk_lost", Event.LOSE)
    assert not recoverer.finish(0)
    assert "No thread could be started to take back runs" in caplog.text
    recoverer.put("wrk_other", Event.LOSE)
    assert recoverer.finish(PATIENCE)
    assert row(job).losses == 1


def _no_room(thread):
    raise RuntimeError("can't start new thread")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no network")
def test_a_half_open_connection_is_given_up(monkeypatch, caplog):
    """F37: all others' runs would wait until TCP gives up."""
    driver, job = Driver("wrk_lost"), make_job()
    driver.start(job)
    with proxied() as proxy, connected_by_way_of(proxy.port):
        recover_worker, calls = recovery.recover_worker, []

        def cut_off_after_the_first(worker_id, event, using):
            calls.append(worker_id)
            if len(calls) == 1:
                recover_worker("wrk_nobody", event, using)
                proxy.swallow()
                return None
            return recover_worker(worker_id, event, using)

        monkeypatch.setattr(recovery, "recover_worker", cut_off_after_the_first)
        recoverer = Recoverer(USING, limit=1)
        recoverer.put("wrk_lost", Event.LOSE)
        eventually(lambda: "are taken back when the database answers" in caplog.text)
        proxy.pass_on()
        assert recoverer.finish(PATIENCE)
    assert row(job).losses == 1
    eventually(lambda: not threads())
