"""What a child tells its supervisor, in this process."""

import os
import threading

import pytest

from django_flare.worker import child as module
from django_flare.worker.board import open_board
from django_flare.worker.channel import Leash, Receiver
from django_flare.worker.child import Child
from django_flare.worker.options import WorkerOptions
from tests.worker.support import PATIENCE, eventually


@pytest.fixture
def leash():
    orders, reports = os.pipe(), os.pipe()
    receiver = Receiver(reports[0])
    board = open_board()
    leash = Leash(orders=orders[0], reports=reports[1], board=board, supervisor=os.getpid())
    yield leash, receiver
    receiver.close()
    for descriptor in (*orders, reports[1]):
        os.close(descriptor)


def test_an_error_does_not_end_the_pulse(leash, monkeypatch, caplog):
    """The process would pass for stuck, and be killed with its jobs."""
    leash, receiver = leash
    monkeypatch.setattr(module, "PULSE", 0.01)
    child = Child(WorkerOptions(concurrency=1), leash)
    looks = []

    def fail():
        looks.append(None)
        raise OSError("Too many open files: /proc/self/statm")

    monkeypatch.setattr(child._memory, "look", fail)
    pulse = threading.Thread(target=child._pulse)
    pulse.start()
    reports = []
    eventually(lambda: reports.extend(receiver.receive()) or len(reports) > 3)
    child._ended.set()
    pulse.join(PATIENCE)
    assert len(looks) > 1
    assert caplog.text.count("A step of the pulse failed") == 1
