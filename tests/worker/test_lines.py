"""The worker's own lines to the database, and the watchdog that hangs up on a dead one. F37."""

import threading

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections

from django_flare.store.faults import Fault, classify
from django_flare.worker.deadlines import Deadlines
from django_flare.worker.lines import Line
from tests.system.support import connected_by_way_of, proxied
from tests.testapp.models import Effect
from tests.worker.support import USING, eventually

pytestmark = pytest.mark.django_db(transaction=True)

servers_only = pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no network")
postgres_only = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about psycopg's connection")


@pytest.fixture
def proxy():
    """Let connections that are opened from now on go through a proxy."""
    with proxied() as proxy, connected_by_way_of(proxy.port):
        yield proxy


@pytest.fixture
def watched():
    """Make a line with a watchdog."""
    watchdogs, lines = [], []

    def make(limit):
        line = Line(USING, limit)
        watchdogs.append(Deadlines([line]))
        watchdogs[-1].start()
        lines.append(line)
        return line

    yield make
    for each in watchdogs:
        each.stop()
        each.join()
    for each in lines:
        each.drop()


def ask(line):
    with line, connections[USING].cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()[0]


def test_it_is_the_threads_connection_only_inside():
    before = connections[USING]
    line = Line(USING, 5)
    with line:
        assert connections[USING] is not before
        Effect.objects.create(job_id="line", note="x")
    assert connections[USING] is before
    assert Effect.objects.filter(job_id="line").exists()
    with line:
        own = connections[USING].connection
    assert ask(line) == 1
    with line:
        assert connections[USING].connection is own
    line.drop()
    line.drop()
    assert ask(line) == 1
    line.drop()


def test_an_error_leaves_the_thread_its_own_connection():
    before = connections[USING]
    line = Line(USING, 5)
    with pytest.raises(DatabaseError), line, connections[USING].cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    assert connections[USING] is before
    assert line.busy_since is None
    line.drop()


def test_its_options_are_the_projects_without_the_pool(monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", True)
    line = Line(USING, 5)
    with line:
        options = connections[USING].settings_dict["OPTIONS"]
    assert "pool" not in options
    assert connection.settings_dict["OPTIONS"]["pool"] is True


@servers_only
def test_a_timeout_of_the_project_is_kept(monkeypatch):
    with Line(USING, 7.5):
        assert connections[USING].settings_dict["OPTIONS"]["connect_timeout"] == 8
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "connect_timeout", 3)
    with Line(USING, 7.5):
        assert connections[USING].settings_dict["OPTIONS"]["connect_timeout"] == 3


@servers_only
def test_a_statement_on_a_half_open_connection_ends(proxy, watched):
    line = watched(1)
    assert ask(line) == 1
    proxy.swallow()
    with pytest.raises(OperationalError) as raised:
        ask(line)
    assert classify(raised.value) is Fault.OUTAGE
    line.drop()
    proxy.pass_on()
    assert ask(line) == 1


@servers_only
def test_a_commit_on_a_half_open_connection_ends(proxy, watched):
    line = watched(1)
    with line:
        connections[USING].set_autocommit(False)
        Effect.objects.create(job_id="line", note="x")
        proxy.swallow()
        with pytest.raises((OperationalError, InterfaceError)) as raised:
            connections[USING].commit()
    assert classify(raised.value) is Fault.OUTAGE


@servers_only
def test_a_connection_that_is_never_answered_is_given_up(proxy, watched):
    proxy.swallow()
    line = watched(1)
    with pytest.raises(OperationalError):
        ask(line)
    line.drop()
    proxy.pass_on()
    assert ask(line) == 1


@postgres_only
def test_the_server_is_told_to_wait_no_longer(watched):
    """Otherwise each try would leave a backend behind that waits for a lock for nobody."""
    line, blocker = watched(1), Line(USING, 60)
    try:
        with blocker, connections[USING].cursor() as cursor:
            connections[USING].set_autocommit(False)
            cursor.execute("LOCK TABLE testapp_effect IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError) as raised, line:
            Effect.objects.count()
        assert classify(raised.value) is Fault.OUTAGE
        eventually(lambda: not _waiting_backends())
    finally:
        blocker.drop()


def _waiting_backends():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]


class Slow(Line):
    """A line whose statement has been under way for a while, on a clock in the test's hands."""

    def __init__(self, since):
        super().__init__(USING, 10)
        self._busy_since = since
        self.hung_up = threading.Semaphore(0)

    can_hang_up = True

    def hang_up(self, since):
        self.hung_up.release()


def test_only_what_is_overdue_at_two_looks_and_only_once(monkeypatch):
    """A process that stood still may go on."""
    now = [100.0]
    monkeypatch.setattr("django_flare.worker.deadlines.time.monotonic", lambda: now[0])
    line = Slow(since=85.0)
    watchdog = Deadlines([line])
    watchdog.look()
    line._busy_since = 99.0
    watchdog.look()
    now[0] = 110.0
    watchdog.look()
    assert not line.hung_up.acquire(blocking=False)
    watchdog.look()
    assert line.hung_up.acquire(timeout=25)
    watchdog.look()
    watchdog.look()
    assert not line.hung_up.acquire(blocking=False)
