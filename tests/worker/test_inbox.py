import threading
import time

from django_flare.worker.inbox import Inbox
from tests.worker.support import make_run


def test_nothing_comes_of_nothing():
    assert Inbox().collect(0) == ([], False)


def test_finished_runs_come_together_in_order_and_wake_nobody_to_look():
    inbox, runs = Inbox(), [make_run(id=n) for n in range(5)]
    for run in runs:
        inbox.put(run)
    assert inbox.collect(0) == (runs, False)
    assert inbox.collect(0) == ([], False)


def test_others_may_join_the_first(monkeypatch):
    inbox, (first, second) = Inbox(), [make_run(id=n) for n in range(2)]
    waits = []
    monkeypatch.setattr(time, "sleep", lambda seconds: (waits.append(seconds), inbox.put(second)))
    inbox.put(first)
    assert inbox.collect(0, gather=2) == ([first, second], False)
    assert waits == [0.001], "it waits no longer than for the second"
    assert inbox.collect(0, gather=2) == ([], False), "it waits for others only when there is one"
    inbox.put(first)
    assert inbox.collect(0) == ([first], False)
    assert waits == [0.001]


def test_the_first_does_not_wait_for_others_for_ever():
    inbox, run = Inbox(), make_run()
    inbox.put(run)
    began = time.monotonic()
    assert inbox.collect(0, gather=100) == ([run], False)
    assert time.monotonic() - began >= 0.005


def test_any_number_of_wake_ups_is_one():
    inbox = Inbox()
    for _ in range(1000):
        inbox.wake()
    inbox.put(run := make_run())
    assert inbox.collect(0) == ([run], True)
    assert inbox.collect(0) == ([], False)
    inbox.wake()
    assert inbox.collect(0) == ([], True)


def test_a_message_ends_the_wait():
    inbox, answers = Inbox(), []
    waiting = threading.Thread(target=lambda: answers.append(inbox.collect(60)))
    waiting.start()
    inbox.wake()
    waiting.join(20)
    assert answers == [([], True)]


def test_a_wake_up_during_the_look_causes_another():
    """It is noted even while the dispatcher is on its way from one wait to the next."""
    inbox = Inbox()
    inbox.wake()
    assert inbox.collect(0)[1]
    inbox.wake()
    assert inbox.collect(0)[1]


def test_a_negative_wait_is_none():
    assert Inbox().collect(-1) == ([], False)
