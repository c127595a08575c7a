"""Wake-ups: what makes them come, and what is done while they do not. F24, F43."""

import threading

import pytest
from django.db import connection

from django_flare import jobs
from django_flare.store.wakeup import notify
from django_flare.worker import wakeups
from django_flare.worker.wakeups import Listener, waker_for
from tests.worker.support import PATIENCE, USING, eventually, idle

pytestmark = pytest.mark.django_db(transaction=True)

postgres_only = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about LISTEN")


class Watcher:
    """A waker that counts what it does."""

    def __init__(self):
        self.wakes = 0
        self.relied = []
        self.waker = waker_for(USING)(USING, self._wake, self.relied.append)

    def _wake(self):
        self.wakes += 1

    def end(self):
        self.waker.stop()
        self.waker.join(PATIENCE)


@pytest.fixture
def watcher():
    found = Watcher()
    yield found
    found.end()


@pytest.mark.skipif("connection.vendor == 'mysql'", reason="MariaDB has no wake-ups")
def test_a_commit_wakes(watcher):
    watcher.waker.start()
    # SQLite's counter is new to it at the first look, too.
    first = 2 if connection.vendor == "sqlite" else 1
    eventually(lambda: watcher.wakes == first)
    jobs.enqueue(idle, {})
    eventually(lambda: watcher.wakes > first)
    assert watcher.relied == []


@pytest.mark.skipif("connection.vendor != 'mysql'", reason="the others have them")
def test_mariadb_has_none():
    assert waker_for(USING) is None


@postgres_only
class TestListener:
    def test_without_an_echo_it_is_not_relied_on_until_there_is_one(self, watcher, monkeypatch, caplog):
        """A pooler in transaction mode takes LISTEN and delivers nothing."""
        monkeypatch.setattr(Listener, "_ECHO_PATIENCE", 0.1)
        monkeypatch.setattr(Listener, "_ECHO_AGAIN", 0.05)
        is_direct = threading.Event()

        def send(channel, using):
            if is_direct.is_set():
                notify(channel, using)

        monkeypatch.setattr(wakeups, "notify", send)
        watcher.waker.start()
        eventually(lambda: watcher.wakes)
        assert watcher.relied == [False]
        is_direct.set()
        eventually(lambda: watcher.relied == [False, True])
        woken = watcher.wakes
        jobs.enqueue(idle, {})
        eventually(lambda: watcher.wakes > woken)
        assert caplog.text.count("Wake-ups are lost") == 1
        assert "no echo on database 'default'" in caplog.text

    def test_the_echo_wakes_nobody_else(self, watcher):
        watcher.waker.start()
        eventually(lambda: watcher.wakes == 1)
        other = Watcher()
        other.waker.start()
        eventually(lambda: other.wakes == 1)
        other.end()
        jobs.enqueue(idle, {})
        eventually(lambda: watcher.wakes == 2)

    @pytest.mark.parametrize(
        ("flare", "alias"),
        [
            ({}, USING),
            ({"LISTEN": "direct"}, "direct"),
            ({"LISTEN": "direct", "DATABASE": "other"}, USING),
        ],
    )
    def test_where_it_listens(self, settings, flare, alias):
        """The setting is about the database of the setting DATABASE."""
        settings.FLARE = flare
        assert Listener(USING, lambda: None, lambda _: None)._alias == alias
