"""What networks do to connections, between real workers and the real server: F08, F24, F37."""

import uuid

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job, Worker
from django_flare.store.faults import is_passing
from tests.proxy import COMMIT
from tests.support import force
from tests.system.support import (
    all_in,
    connected_by_way_of,
    environment_by_way_of,
    eventually,
    proxied,
    row,
)
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no network"),
]

postgres_only = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about LISTEN")
FAR_LEASE = {"LEASE": 60, "BEAT": 0.5}


@pytest.fixture
def proxy():
    with proxied() as proxy:
        yield proxy


def each_ran_once():
    """Each counts one attempt; a claim of which nobody knew may have been given back, which counts none."""
    assert not Attempt.objects.exists()
    assert not Job.objects.exclude(attempt=1, losses=0).exists()


class TestHalfOpen:
    """F37: no answer and no error."""

    def test_all_connections(self, workers, proxy, gate):
        """What finished meanwhile is kept, written when the network is back, and runs once."""
        worker = workers.start(environment=environment_by_way_of(proxy.port), flare={"LEASE": 4, "BEAT": 0.5})
        held = [jobs.enqueue(work.wait, {"gate": gate.path}) for _ in range(3)]
        all_in(JobState.PROCESSING, *held)
        proxy.swallow()
        gate.open()
        worker.says("The database does not answer")
        proxy.pass_on()
        later = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, *held, later)
        assert worker.is_alive
        assert not Attempt.objects.exists()
        assert worker.terminate().exit_code() == 0

    def test_one_of_them(self, workers, proxy):
        """The other threads go on meanwhile: the beats, while the dispatcher waits for an answer."""
        worker = workers.start(environment=environment_by_way_of(proxy.port), flare={"LEASE": 6, "BEAT": 0.2})
        busy = jobs.enqueue_many(work.brief, [None] * 20)
        all_in(JobState.SUCCEEDED, *busy)
        dispatcher = _only_one_that_sent(proxy, b"SKIP LOCKED")
        last_beat = Worker.objects.get().last_beat_at
        dispatcher.swallow()
        job_id = jobs.enqueue(work.good)
        eventually(lambda: Worker.objects.get().last_beat_at > last_beat)
        all_in(JobState.SUCCEEDED, job_id)
        # MariaDB's driver has a timeout of its own.
        assert ("hanging up" in worker.log) == (connection.vendor == "postgresql")
        assert worker.log.count("A beat failed") == 0
        each_ran_once()

    @postgres_only
    def test_the_listener(self, workers, proxy):
        """F24: found out, said once; polling at the interval without wake-ups goes on meanwhile."""
        worker = workers.start(environment=environment_by_way_of(proxy.port), flare={"LEASE": 4, "BEAT": 0.5})
        listener = eventually(lambda: _sent(proxy, b"LISTEN django_flare\x00"))[0]
        listener.swallow()
        job_id = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, job_id)
        worker.says("Wake-ups are lost, polling instead (LISTEN/NOTIFY)")
        worker.says("Wake-ups work again (LISTEN/NOTIFY)")
        assert worker.log.count("Wake-ups are lost") == 1
        assert worker.log.count("The database does not answer") == 0


def _sent(proxy, pattern):
    return [each for each in list(proxy.connections) if each.has_sent(pattern) and not each.is_swallowed]


def _only_one_that_sent(proxy, pattern):
    (found,) = eventually(lambda: _sent(proxy, pattern))
    return found


class TestNoAnswer:
    def test_new_connections_into_the_void(self, workers, proxy):
        """F37: also at the start; a connect that is never answered is given up."""
        proxy.swallow()
        worker = workers.launch(environment=environment_by_way_of(proxy.port))
        worker.says("The database does not answer yet")
        proxy.pass_on()
        worker.ready()
        job_id = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, job_id)

    def test_refused_and_slow(self, workers, proxy, gate):
        worker = workers.start(environment=environment_by_way_of(proxy.port), flare=FAR_LEASE)
        held = jobs.enqueue(work.wait, {"gate": gate.path})
        all_in(JobState.PROCESSING, held)
        proxy.refuse()
        gate.open()
        worker.says("The database does not answer")
        proxy.pass_on()
        proxy.slow_down(0.02)
        ids = jobs.enqueue_many(work.brief, [None] * 20)
        all_in(JobState.SUCCEEDED, held, *ids)
        each_ran_once()

    def test_half_closed(self, workers, proxy):
        worker = workers.start(environment=environment_by_way_of(proxy.port), flare=FAR_LEASE)
        for each in list(proxy.connections):
            each.half_close()
        ids = jobs.enqueue_many(work.brief, [None] * 20)
        all_in(JobState.SUCCEEDED, *ids)
        assert worker.is_alive
        each_ran_once()


class TestAmbiguousCommit:
    """F08: nobody knows whether the commit happened."""

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_of_claims_and_outcomes(self, workers, proxy, after):
        """Cut one commit after the other while jobs flow: every job runs, and has one outcome."""
        worker = workers.start(
            environment=environment_by_way_of(proxy.port), flare={"LEASE": 60, "BEAT": 0.2}
        )
        ids = []
        for _ in range(5):
            cut = proxy.cut(COMMIT, after=after)
            ids += jobs.enqueue_many(work.brief, [None] * 5)
            eventually(lambda cut=cut: cut.happened)
        all_in(JobState.SUCCEEDED, *ids)
        assert worker.is_alive
        each_ran_once()
        assert worker.log.count("lost its lease") == 0

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_of_a_finished_run(self, workers, proxy, gate, after):
        """The outcome is written once, and what was written already is no lost lease."""
        worker = workers.start(environment=environment_by_way_of(proxy.port), flare=FAR_LEASE)
        held = jobs.enqueue(work.wait, {"gate": gate.path})
        all_in(JobState.PROCESSING, held)
        child = jobs.continue_with(held, work.good)
        cut = proxy.cut(COMMIT, after=after)
        gate.open()
        eventually(lambda: cut.happened)
        all_in(JobState.SUCCEEDED, held, child)
        assert row(held).fence == 1
        each_ran_once()
        assert "ease" not in worker.log.split("slots, queues:")[1].replace("release", "")

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_of_a_release(self, workers, proxy, gate, after):
        """The worker is told to stop while its job runs on; the job is given back without blame."""
        worker = workers.start(
            "--shutdown-timeout", "0", environment=environment_by_way_of(proxy.port), flare=FAR_LEASE
        )
        held = jobs.enqueue(work.heed, {"gate": gate.path})
        all_in(JobState.PROCESSING, held)
        cut = proxy.cut(COMMIT, after=after)
        worker.terminate()
        eventually(lambda: cut.happened)
        assert worker.exit_code() == 0
        gate.open()
        workers.start()
        all_in(JobState.SUCCEEDED, held)
        each_ran_once()

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_of_an_enqueue(self, proxied_here, after):
        """The caller learns that nobody knows; with a key it asks again and there is one job."""
        for parents in ((), (jobs.enqueue(work.good),)):
            key = str(uuid.uuid4())

            def enqueue(parents=parents, key=key):
                options = {"idempotency_key": key}
                if parents:
                    return jobs.continue_with(parents, work.good, **options)
                return jobs.enqueue(work.good, **options)

            cut = proxied_here.cut((*COMMIT, *INSERT), after=after)
            with pytest.raises(OperationalError) as raised:
                enqueue()
            assert is_passing(raised.value)
            assert cut.happened
            connection.close()
            job_id = enqueue()
            assert enqueue() == job_id
            assert Job.objects.filter(idempotency_key=key).count() == 1

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("verb", ["cancel", "retry", "discard"])
    def test_of_a_verb(self, proxied_here, verb, after):
        """Asked again, the verb has been obeyed once: nothing of it is half done."""
        job_id = jobs.enqueue(work.good)
        child = jobs.continue_with(job_id, work.good)
        before = "pending"
        if verb != "cancel":
            before = "failed"
            force(job_id, state=before, attempt=3, max_attempts=3, completed_at=timezone.now())
        wanted = {"cancel": "cancelled", "retry": "pending", "discard": "dead_letter"}[verb]
        cut = proxied_here.cut(COMMIT, after=after)
        with pytest.raises(OperationalError) as raised:
            getattr(jobs, verb)(job_id)
        assert is_passing(raised.value)
        assert cut.happened
        connection.close()
        assert row(job_id).state == (wanted if after else before)
        assert getattr(jobs, verb)(job_id) is not after
        assert row(job_id).state == wanted
        assert row(job_id).max_attempts == (4 if verb == "retry" else 3)
        assert row(child).state == ("scheduled" if verb == "retry" else "cancelled")


INSERT = tuple(f"INSERT INTO {quote}{Job._meta.db_table}{quote}".encode() for quote in '"`')


@pytest.fixture
def proxied_here(transactional_db):
    """Let this process go through a proxy, too."""
    with proxied() as proxy, connected_by_way_of(proxy.port):
        yield proxy
