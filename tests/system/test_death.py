"""Workers that are killed, frozen or forgotten, and what becomes of their jobs."""

import signal

import pytest

from django_flare import JobState, jobs
from django_flare.models import Job, Worker
from tests.system.support import (
    all_in,
    attempt_of,
    effects,
    events,
    eventually,
    happened,
    history,
    let_lease_run_out,
    row,
    states,
)
from tests.testapp import system_jobs as work
from tests.testapp.models import Ledger

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("postgres", "sqlite"),
]


@pytest.fixture
def workers(workers):
    """One process each: what befalls it is not mended at once by a supervisor."""
    workers.options = ["--processes", 0]
    return workers


class TestLong:
    def test_a_job_much_longer_than_the_lease_runs_once(self, workers, gate):
        """F03: age is no death, not even of a process whose beats get the interpreter now and then only."""
        for _ in range(3):
            workers.start()
        plain = jobs.enqueue(work.hold, {"gate": gate.path})
        breathless = jobs.enqueue(work.gasp, {"seconds": 9, "burst": 0.1})
        happened("finished", breathless)
        gate.open()
        all_in(JobState.SUCCEEDED, plain, breathless)
        assert events(breathless) == ["started", "finished"]
        assert events(plain, "started") == ["started"]
        assert not Job.objects.exclude(attempt=1, fence=1, losses=0).exists()


class TestKilled:
    def test_another_worker_takes_over_after_the_lease(self, workers, gate):
        """F45: the attempt is given back, the loss is counted."""
        job_id = jobs.enqueue(work.hold, {"gate": gate.path})
        first = workers.start()
        happened("started", job_id)
        second = workers.start()
        first.kill()
        eventually(lambda: row(job_id).losses == 1)
        eventually(lambda: events(job_id) == ["started", "started"])
        found = row(job_id)
        assert (found.state, found.attempt, found.fence) == ("processing", 1, 2)
        assert found.worker_id == second.worker_id
        assert history(job_id) == [(1, "lost")]
        record = attempt_of(job_id)
        assert (record.fence, record.worker_id) == (1, first.worker_id)
        assert record.error_message.startswith("worker_lost")
        # By the database's clock, not before the lease of 3 s was over.
        assert (record.ended_at - record.started_at).total_seconds() >= 2.5
        assert list(Worker.objects.values_list("pk", flat=True)) == [second.worker_id]
        gate.open()
        all_in(JobState.SUCCEEDED, job_id)
        assert row(job_id).result == f"by {second.pid}"
        assert (row(job_id).losses, row(job_id).error_message) == (1, "")

    def test_a_poison_job_ends_in_the_dead_letter_and_takes_nobody_along(self, workers):
        """F45: it kills every worker that runs it; the test starts the next one, as a supervisor would."""
        good = jobs.enqueue_many(work.good, [None] * 15)
        poison = jobs.enqueue(work.kills_its_process)
        good += jobs.enqueue_many(work.good, [None] * 15)
        heir = jobs.continue_with(poison, work.good)

        def all_ended():
            return not Job.objects.filter(state__in=["pending", "processing", "failed"]).exists()

        for _ in range(12):
            worker = workers.launch("--concurrency", 4)
            eventually(lambda worker=worker: all_ended() or not worker.is_alive)
            if all_ended():
                break
            assert worker.exit_code() == -signal.SIGKILL
            let_lease_run_out(worker.worker_id)
        assert all_ended()

        assert set(states(*good)) == {JobState.SUCCEEDED}
        assert states(poison, heir) == ["dead_letter", "cancelled"]
        assert (row(poison).losses, row(poison).attempt) == (3, 0)
        assert [outcome for _, outcome in history(poison)] == ["lost"] * 3
        assert row(poison).error_message.startswith("worker_lost")
        assert len(events(poison, "started")) <= 3
        assert max(Job.objects.filter(public_id__in=good).values_list("losses", flat=True)) <= 1
        self._assert_suspects_ran_alone(poison)

    def _assert_suspects_ran_alone(self, poison):
        """After its first loss nothing else was begun, and nothing was unfinished, when the poison ran."""
        runs = Ledger.objects.filter(job_id=poison, event="started").order_by("pk")
        for run in runs[1:]:
            neighbours = Ledger.objects.filter(pid=run.pid).exclude(job_id=poison).order_by("pk")
            assert not neighbours.filter(pk__gt=run.pk).exists(), "a job was started beside a suspect"
            begun = neighbours.filter(event="started").count()
            assert begun == neighbours.filter(event="finished").count(), "a job ran beside a suspect"


class TestKilledAtAFailpoint:
    @pytest.mark.parametrize("place", ["turn.before_commit", "turn.after_commit", "finish.before_write"])
    def test_every_job_ends_as_the_ledger_explains(self, workers, place):
        """F07, F08: killed between two statements of ours; the next worker finds rows that make sense."""
        ids = jobs.enqueue_many(work.good, [None] * 6)
        child = jobs.continue_with(ids[0], work.good)
        victim = workers.launch("--concurrency", 3, environment={"FLARE_FAILPOINTS": place})
        assert victim.exit_code() == -signal.SIGKILL
        let_lease_run_out(victim.worker_id)
        ran = {job_id: len(events(job_id, "finished")) for job_id in ids}
        held = {
            str(each) for each in Job.objects.filter(state="processing").values_list("public_id", flat=True)
        }
        if place == "turn.before_commit":
            # Rolled back: nothing was ever claimed.
            assert (held, set(ran.values())) == (set(), {0})
            assert not Job.objects.exclude(attempt=0, fence=0).exists()
        else:
            assert len(held) >= 3
            assert {job_id for job_id, times in ran.items() if times} <= held
        assert "succeeded" not in states(*ids)

        workers.start()
        all_in(JobState.SUCCEEDED, *ids, child)
        for job_id in [*ids, child]:
            found = row(job_id)
            was_held = job_id in held
            assert (found.attempt, found.losses) == (1, int(was_held))
            # A suspect may be claimed and given back unstarted while another one runs.
            assert found.fence >= 2 if was_held else found.fence == 1
            assert history(job_id) == ([(1, "lost")] if was_held else [])
            assert len(events(job_id, "finished")) == 1 + ran.get(job_id, 0)

    def test_the_variable_alone_breaks_nothing(self, workers):
        """Without the setting it is ignored, with a warning."""
        job_id = jobs.enqueue(work.good)
        environment = {"FLARE_FAILPOINTS": "turn.before_commit", "FLARE_TEST_NO_FAILPOINTS": "1"}
        worker = workers.burst(environment=environment)
        assert states(job_id) == [JobState.SUCCEEDED]
        assert worker.log.count("FLARE_FAILPOINTS is set and ignored") == 1


class TestZombies:
    def test_a_frozen_worker_finds_its_job_taken_and_goes_on_under_a_new_id(self, workers, gate):
        """F02, F47"""
        job_id = jobs.enqueue(work.hold, {"gate": gate.path}, queue="first")
        zombie = workers.start("--concurrency", 1, "--queues", "first,second")
        happened("started", job_id)
        zombie.freeze()
        heir = workers.start("--queues", "first")
        eventually(lambda: events(job_id) == ["started", "started"])
        zombie.thaw().says("going on under a new id")
        gate.open()
        all_in(JobState.SUCCEEDED, job_id)
        eventually(lambda: events(job_id, "finished") == ["finished", "finished"])
        zombie.says("the lease was lost, its outcome is dropped")
        found = row(job_id)
        assert (found.result, found.worker_id) == (f"by {heir.pid}", heir.worker_id)
        assert (found.attempt, found.fence, found.losses) == (1, 2, 1)
        assert history(job_id) == [(1, "lost")]

        later = jobs.enqueue(work.good, queue="second")
        all_in(JobState.SUCCEEDED, later)
        assert row(later).worker_id not in ("", zombie.worker_id, heir.worker_id)
        assert Ledger.objects.filter(job_id=later).first().pid == zombie.pid
        assert zombie.terminate().exit_code() == 0

    def test_a_worker_whose_row_was_deleted_registers_anew(self, workers, gate):
        """F05: with a slot that its old run keeps busy, what it may run elsewhere is not held back."""
        held = jobs.enqueue(work.hold, {"gate": gate.path})
        heeding = jobs.enqueue(work.heed, {"gate": gate.path})
        worker = workers.start("--concurrency", 3)
        happened("started", held, heeding)
        Worker.objects.all().delete()
        fresh = eventually(lambda: Worker.objects.exclude(pk=worker.worker_id).first())
        assert fresh.pid == worker.pid
        # Orphans: it takes them back itself once it may, and runs them under its new id.
        eventually(lambda: row(held).losses == 1 and row(heeding).losses == 1)
        gate.open()
        all_in(JobState.SUCCEEDED, held, heeding)
        later = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, later)
        assert row(later).worker_id == fresh.pk
        assert {row(each).worker_id for each in (held, heeding)} == {fresh.pk}
        assert worker.is_alive
        assert not Job.objects.filter(worker_id=worker.worker_id).exists()

    def test_a_run_that_lost_its_lease_still_counts_as_a_busy_slot(self, workers, gate, tmp_path):
        """A zombie run keeps its thread; jobs that this worker cannot run now are left to others."""
        stuck = jobs.enqueue(work.hold, {"gate": gate.path}, queue="first")
        worker = workers.start("--concurrency", 1, "--queues", "first,second")
        happened("started", stuck)
        Worker.objects.all().delete()
        worker.says("going on under a new id")
        other = workers.start("--queues", "second")
        fresh = [jobs.enqueue(work.good, queue="second") for _ in range(3)]
        all_in(JobState.SUCCEEDED, *fresh)
        assert {row(each).worker_id for each in fresh} == {other.worker_id}
        assert {row(each).fence for each in fresh} == {1}


class TestAtomic:
    def test_effects_share_the_fate_of_the_success(self, workers, gate, tmp_path):
        done = jobs.enqueue(work.atomic_work, {"seconds": 1.5})
        failing = jobs.enqueue(work.atomic_work, {"raise": True}, max_attempts=1)
        child = jobs.continue_with(done, work.good)
        workers.burst()
        assert states(done, failing, child) == ["succeeded", "dead_letter", "succeeded"]
        assert row(done).result == "done"
        assert (effects(done), effects(failing)) == (["attempt 1"], [])

        killed = jobs.enqueue(work.atomic_work, {"gate": gate.path, "sign": str(tmp_path / "sign")})
        victim = workers.start()
        eventually(lambda: list(tmp_path.glob("sign.*")))
        victim.kill()
        assert effects(killed) == []
        let_lease_run_out(victim.worker_id)
        gate.open()
        workers.start()
        all_in(JobState.SUCCEEDED, killed)
        assert (effects(killed), row(killed).losses) == (["attempt 1"], 1)

    def test_a_zombie_commits_nothing(self, workers, gate, tmp_path):
        """Exactly once: the frozen run ends after another's success was recorded."""
        from django.db import connection

        if connection.vendor == "sqlite":
            pytest.skip("on SQLite the frozen transaction holds the one write lock, so nobody can take over")
        sign = tmp_path / "sign"
        job_id = jobs.enqueue(work.atomic_work, {"gate": gate.path, "sign": str(sign)})
        zombie = workers.start()
        eventually(lambda: list(tmp_path.glob("sign.*")))
        zombie.freeze()
        let_lease_run_out(zombie.worker_id)
        heir = workers.start()
        eventually(lambda: len(list(tmp_path.glob("sign.*"))) == 2)
        gate.open()
        all_in(JobState.SUCCEEDED, job_id)
        zombie.thaw().says("the lease was lost, its outcome is dropped")
        assert effects(job_id) == ["attempt 1"]
        assert (row(job_id).worker_id, row(job_id).fence) == (heir.worker_id, 2)
        assert history(job_id) == [(1, "lost")]
