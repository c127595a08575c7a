"""The supervisor and its children: replaced, recycled, recovered at once, never left behind."""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from django.db import connection

from django_flare import JobState, jobs
from django_flare.models import Attempt, Job, Worker
from tests.system.support import (
    ROOT,
    WorkerProcess,
    all_in,
    events,
    eventually,
    happened,
    history,
    is_there,
    row,
    states,
    zombies,
)
from tests.testapp import system_jobs as work
from tests.testapp.models import Ledger

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]

LONG_LEASE = {"LEASE": 600, "BEAT": 0.5}
"""Nobody but the supervisor can take runs back within the test."""


def _assert_untouched(*job_ids):
    """Ran once, without a loss, a release or a failed attempt."""
    found = Job.objects.filter(public_id__in=job_ids)
    assert set(found.values_list("state", "attempt", "fence", "losses")) == {("succeeded", 1, 1, 0)}
    assert all(events(job_id, "started") == ["started"] for job_id in job_ids)


class TestReplacing:
    def test_a_killed_child_is_replaced_and_its_jobs_come_back_at_once(self, workers, gate):
        """F45: long before the lease; the others go on undisturbed."""
        worker = workers.start("--processes", 2, "--concurrency", 1, flare=LONG_LEASE)
        eventually(lambda: Worker.objects.count() == 2)
        ids = jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 2)
        happened("started", *ids)
        victim = Worker.objects.get(pk=row(ids[0]).worker_id)
        os.kill(victim.pid, signal.SIGKILL)
        worker.says(f"Process {victim.pid} has died: killed by SIGKILL; the next one starts at once")
        eventually(lambda: row(ids[0]).losses == 1)
        assert history(ids[0]) == [(1, "lost")]
        eventually(lambda: events(ids[0]) == ["started", "started"])
        gate.open()
        all_in(JobState.SUCCEEDED, *ids)
        assert row(ids[0]).worker_id not in ("", victim.pk)
        _assert_untouched(ids[1])
        assert len(worker.children) == 2
        assert victim.pid not in worker.children
        assert not Worker.objects.filter(pk=victim.pk).exists()
        assert worker.terminate().exit_code() == 0
        assert not Worker.objects.exists()

    def test_a_child_that_was_taken_for_dead_is_known_by_its_new_id_too(self, workers, gate):
        worker = workers.start("--concurrency", 2, flare=LONG_LEASE)
        Worker.objects.all().delete()
        fresh = eventually(lambda: Worker.objects.first())
        job_id = jobs.enqueue(work.hold, {"gate": gate.path})
        happened("started", job_id)
        assert row(job_id).worker_id == fresh.pk != worker.worker_id
        os.kill(worker.child(), signal.SIGKILL)
        eventually(lambda: row(job_id).losses == 1)
        gate.open()
        all_in(JobState.SUCCEEDED, job_id)

    def test_processes_share_nothing(self, workers):
        """F51: spawned, so each has its own connections and random numbers."""
        workers.start("--processes", 3, "--concurrency", 2, flare=LONG_LEASE)
        found = eventually(lambda: list(Worker.objects.all()) if Worker.objects.count() == 3 else None)
        assert len({each.pk.rpartition("_")[2] for each in found}) == 3
        assert len({each.pid for each in found}) == 3
        ids = jobs.enqueue_many(work.backend, [None] * 30)
        all_in(JobState.SUCCEEDED, *ids)
        by_pid = {}
        for result in Job.objects.filter(public_id__in=ids).values_list("result", flat=True):
            pid, backend, token = _parsed(result)
            by_pid.setdefault(pid, set()).add(backend)
            by_pid.setdefault("tokens", []).append(token)
        tokens = by_pid.pop("tokens")
        assert len(set(tokens)) == len(tokens)
        backends = list(by_pid.values())
        if connection.vendor != "sqlite":
            assert sum(map(len, backends)) == len(set().union(*backends))

    def test_a_stuck_claim_loop_is_killed(self, workers, gate):
        """F60: the process lives and beats, and would never claim again."""
        held = jobs.enqueue(work.hold, {"gate": gate.path}, max_attempts=1)
        worker = workers.start(flare={"LEASE": 3, "BEAT": 0.5})
        happened("started", held)
        stopper = jobs.enqueue(work.stop_own_loop)
        worker.says("is stuck and is killed: its claim loop has been stuck for 6 s")
        gate.open()
        all_in(JobState.SUCCEEDED, held, stopper, jobs.enqueue(work.good))
        # No handler held it up, so no job is to blame.
        assert (history(held), row(held).attempt, row(held).losses) == ([], 1, 0)
        assert worker.is_alive

    def test_one_that_beats_no_more_is_killed(self, workers, gate):
        """F60: it may not claim any more, and its claim loop goes round."""
        stopper = jobs.enqueue(work.stop_own_beats)
        worker = workers.start(flare={"LEASE": 3, "BEAT": 0.5})
        first = worker.child()
        all_in(JobState.SUCCEEDED, stopper)
        worker.says("is stuck and is killed: no beat of it has been recorded for 6 s, though the database")
        all_in(JobState.SUCCEEDED, jobs.enqueue(work.good))
        assert first not in worker.children

    def test_a_silent_child_is_killed(self, workers):
        """F60: here it stands still."""
        worker = workers.start(flare={"LEASE": 1.5, "BEAT": 0.5})
        stuck = worker.child()
        os.kill(stuck, signal.SIGSTOP)
        worker.says("is stuck and is killed: it has said nothing for 3 s")
        good = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, good)
        assert stuck not in worker.children


def _parsed(result):
    import json

    found = result if isinstance(result, dict) else json.loads(result)
    return found["pid"], found["backend"], found["token"]


@contextmanager
def heir_of_orphans():
    """Let this process be the parent that the kernel gives to orphans, so that it can reap them."""
    prctl, subreaper = ctypes.CDLL(None).prctl, 36
    assert prctl(subreaper, 1, 0, 0, 0) == 0
    yield
    prctl(subreaper, 0, 0, 0, 0)


class TestTheSupervisorIsKilled:
    def test_no_child_outlives_it(self, workers, gate):
        """F54: four children, one of them holding the interpreter, and no zombie."""
        worker = workers.start("--processes", 4, "--concurrency", 1, flare=LONG_LEASE)
        eventually(lambda: Worker.objects.count() == 4)
        held = jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 3)
        hog = jobs.enqueue(work.hog, {"seconds": 60})
        happened("started", *held, hog)
        children = worker.children
        assert len(children) == 4
        with heir_of_orphans():
            worker.kill()
            eventually(lambda: not any(map(is_there, children)), timeout=10)
            for pid in children:
                os.waitpid(pid, 0)

    def test_what_it_reaped_is_no_zombie(self, workers):
        worker = workers.start(flare=LONG_LEASE)
        for _ in range(2):
            ready = len(worker.worker_ids)
            os.kill(worker.child(), signal.SIGKILL)
            eventually(lambda ready=ready: len(worker.worker_ids) > ready)
        assert zombies(worker.children) == []
        assert len(worker.children) == 1


class TestStopping:
    def test_a_clean_stop_burns_no_attempt(self, workers, gate):
        """F46: also with a process manager that signals every process of the worker."""
        held = jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 2)
        worker = workers.start("--processes", 2, "--concurrency", 1, flare=LONG_LEASE)
        happened("started", *held)
        waiting = jobs.enqueue_many(work.good, [None] * 5)
        for pid in [*worker.children, worker.pid]:
            os.kill(pid, signal.SIGTERM)
        worker.says("Stopping: 1 jobs in hand", times=2)
        gate.open()
        assert worker.exit_code() == 0
        _assert_untouched(*held)
        assert set(states(*waiting)) == {"pending"}
        assert not Job.objects.exclude(losses=0).exists()
        assert not Attempt.objects.exists()
        assert not Worker.objects.exists()
        assert "has died" not in worker.log

    def test_a_second_signal_does_not_wait(self, workers, gate):
        stubborn = jobs.enqueue(work.hold, {"gate": gate.path})
        worker = workers.start("--shutdown-timeout", 600, flare=LONG_LEASE)
        happened("started", stubborn)
        worker.terminate().says("Stopping: 1 jobs in hand")
        assert worker.terminate().exit_code() == 0
        found = row(stubborn)
        assert (found.state, found.attempt, found.losses, found.worker_id) == ("pending", 0, 0, "")

    def test_a_child_that_cannot_end_is_killed_and_its_jobs_released(self, workers):
        """A handler that holds the interpreter: the child can do nothing by itself."""
        hog = jobs.enqueue(work.hog, {"seconds": 600})
        worker = workers.start("--shutdown-timeout", 1, flare=LONG_LEASE)
        happened("started", hog)
        worker.terminate().says("does not end and is killed")
        assert worker.exit_code() == 0
        found = row(hog)
        assert (found.state, found.attempt, found.losses) == ("pending", 0, 0)
        assert history(hog) == []
        assert not Worker.objects.exists()

    def test_a_job_that_ends_its_process_meanwhile_is_to_blame(self, workers, gate):
        """F45: also with the exit code of a child that has ended in order."""
        poison = jobs.enqueue(work.ends_its_process, {"gate": gate.path})
        worker = workers.start(flare=LONG_LEASE)
        happened("started", poison)
        worker.terminate().says("Stopping: 1 jobs in hand")
        gate.open()
        assert worker.exit_code() == 0
        found = row(poison)
        assert (found.state, found.attempt, found.losses) == ("pending", 0, 1)
        assert history(poison) == [(1, "lost")]
        assert "which was to end, has died: exit code 0" in worker.log

    def test_a_signal_to_a_child_alone_renews_it(self, workers, gate):
        held = jobs.enqueue(work.hold, {"gate": gate.path})
        worker = workers.start(flare=LONG_LEASE)
        happened("started", held)
        old = worker.child()
        os.kill(old, signal.SIGTERM)
        worker.says("Stopping: 1 jobs in hand")
        # The next one serves while the old one waits for its job.
        later = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, later)
        assert old in worker.children
        gate.open()
        all_in(JobState.SUCCEEDED, held)
        eventually(lambda: old not in worker.children)
        _assert_untouched(held, later)


class TestRecycling:
    def test_max_jobs_renews_children_under_load(self, workers):
        """Nothing is lost and nothing runs twice."""
        ids = jobs.enqueue_many(work.pass_through, [{"seconds": 0.005}] * 120)
        worker = workers.start("--concurrency", 4, "--max-jobs", 40, flare=LONG_LEASE)
        all_in(JobState.SUCCEEDED, *ids)
        found = Job.objects.filter(public_id__in=ids)
        assert set(found.values_list("attempt", "losses")) == {(1, 0)}
        assert all(events(job_id) == ["started", "finished"] for job_id in ids)
        by_pid = {}
        for pid in Ledger.objects.filter(event="started").values_list("pid", flat=True):
            by_pid[pid] = by_pid.get(pid, 0) + 1
        assert sorted(by_pid.values()) == [40, 40, 40]
        assert worker.is_alive
        assert "has died" not in worker.log
        last = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, last)
        assert worker.terminate().exit_code() == 0
        assert not Worker.objects.exists()

    def test_a_child_waits_for_its_long_jobs_and_only_one_is_beside_it(self, workers, gate):
        """Longer than --shutdown-timeout: released again and again, they would never end."""
        held = jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 4)
        worker = workers.start(
            "--concurrency", 1, "--max-jobs", 1, "--shutdown-timeout", 0.2, flare=LONG_LEASE
        )
        eventually(lambda: Job.objects.filter(state="processing").count() == 2)
        assert len(worker.children) == 2
        eventually(lambda: worker.log.count("retires: it has run --max-jobs 1") == 4)
        assert Job.objects.filter(state="processing").count() == 2
        gate.open()
        all_in(JobState.SUCCEEDED, *held)
        _assert_untouched(*held)

    def test_max_memory_renews_children_under_load(self, workers):
        ids = jobs.enqueue_many(work.swell, [{"bytes": 60 << 20}] * 12)
        worker = workers.start("--concurrency", 1, "--max-memory", "300M", flare=LONG_LEASE)
        all_in(JobState.SUCCEEDED, *ids)
        found = Job.objects.filter(public_id__in=ids)
        assert set(found.values_list("attempt", "losses")) == {(1, 0)}
        assert all(events(job_id) == ["started", "finished"] for job_id in ids)
        worker.says("MiB of memory, --max-memory is 300 MiB")
        assert len(set(Ledger.objects.values_list("pid", flat=True))) >= 2
        assert "has died" not in worker.log

    def test_a_limit_below_what_it_needs_to_start_is_said_once(self, workers):
        worker = workers.start("--max-memory", "2", flare=LONG_LEASE)
        worker.says("Before its first job it holds")
        job_id = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, job_id)
        worker.says("retires", times=1)
        assert worker.is_alive

    def test_without_a_supervisor_the_worker_ends(self, workers):
        ids = jobs.enqueue_many(work.good, [None] * 3)
        worker = workers.launch("--processes", 0, "--max-memory", 2)
        assert worker.exit_code() == 0
        assert "retires: " in worker.log
        all_in(JobState.SUCCEEDED, *ids)
        assert not Worker.objects.exists()


class TestStarting:
    def test_a_child_that_cannot_start_ends_the_command_with_one_line(self, tmp_path):
        """Here its settings break it: what it says itself stands above."""
        worker = WorkerProcess(environment={"FLARE_TEST_BROKEN_CHILD": "1"})
        assert worker.exit_code(60) == 1
        assert worker.log.count("Process ") == 2
        last = worker.log.splitlines()[-1]
        assert last == (
            "CommandError: 3 processes in a row have died before they could work, the last one: "
            "exit code 1; what they said stands above"
        )
        worker.end()

    def test_no_tables_end_the_command_with_one_line(self, tmp_path):
        finished = subprocess.run(
            [sys.executable, "-m", "django", "flare_worker", "--skip-checks"],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "FLARE_TEST_DATABASE": "sqlite",
                "FLARE_TEST_DIRECTORY": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == 1
        assert finished.stderr.splitlines()[-1] == (
            "CommandError: No tables of django_flare in database 'default': run manage.py migrate"
        )
        assert finished.stderr.count("No tables") == 1
        assert "Traceback" not in finished.stderr

    def test_without_children_it_says_that_it_cannot_kill(self, workers):
        worker = workers.start("--processes", 0).says("No supervisor: a handler that does not end")
        assert worker.children == []
        assert worker.terminate().exit_code() == 0
