"""Handlers that raise what nobody expects, leave dirt behind, or do not end."""

from datetime import timedelta

import pytest
from django.db import connection

from django_flare import JobState, jobs
from django_flare.models import Job
from tests.system.support import all_in, attempt_of, effects, events, happened, history, row, states
from tests.testapp import system_jobs as work
from tests.testapp.models import Ledger

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]

NASTY = ["nul", "huge", "unspeakable", "ring", "lines"]
UNEXPECTED = ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError", "BaseException", "Odd"]


class TestRaising:
    def test_whatever_is_raised_fails_the_attempt_and_the_next_job_runs(self, workers):
        """F48, F52: in one slot, each followed by a good job."""
        raised, good = {}, []
        for error in [*UNEXPECTED, *NASTY]:
            for handler in (work.raiser, work.raiser_async, work.raiser_in_task):
                job_id = jobs.enqueue(handler, {"error": error}, timeout=timedelta(seconds=20))
                raised[job_id] = error
                good.append(jobs.enqueue(work.quick, {"n": 1}))
        worker = workers.burst("--concurrency", 1)
        assert set(states(*raised)) == {JobState.FAILED}
        assert set(states(*good)) == {JobState.SUCCEEDED}
        for job_id, error in raised.items():
            found, record = row(job_id), attempt_of(job_id)
            assert history(job_id) == [(1, "failed")]
            assert found.error_message
            assert len(found.error_message.encode()) <= 2048
            assert len(record.traceback.encode()) <= 65536
            assert record.worker_id == worker.worker_id
            assert record.started_at <= record.ended_at
            if error in UNEXPECTED:
                assert record.error_class.rpartition(".")[2] == error
        # One line each in the log, and nothing that steers a terminal.
        lines = [line for line in worker.log.splitlines() if "first\\nsecond\\x1b[31m" in line]
        assert len(lines) == 3
        assert "\x1b" not in worker.log
        assert worker.log.count(": failed (") == len(worker.log.splitlines()) - 4
        assert "Traceback" not in worker.log
        assert "failed and goes on" not in worker.log


class TestDirt:
    def test_no_job_inherits_what_another_left_behind(self, workers):
        """F50: one slot, after each kind of dirt a probe."""
        probes = {}
        for kind in work.DIRT:
            jobs.enqueue(work.dirty, {"kind": kind})
            probes[kind] = jobs.enqueue(work.probe)
        jobs.enqueue(work.dirty_async)
        probes["async"] = jobs.enqueue(work.probe)
        worker = workers.burst("--concurrency", 1)
        found = {kind: row(job_id) for kind, job_id in probes.items()}
        assert {kind: each.result for kind, each in found.items()} == dict.fromkeys(probes, work.CLEAN)
        assert {each.state for each in found.values()} == {JobState.SUCCEEDED}
        assert [effects(job_id) for job_id in probes.values()] == [["plain", "atomic"]] * len(probes)
        # What was never committed is gone.
        assert effects("dirt") == []
        dirty = Job.objects.filter(job_type__startswith="system.dirty")
        assert set(dirty.values_list("state", flat=True)) <= {"succeeded", "failed"}
        assert worker.log.count("left a transaction open") >= 3
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
                )
                assert cursor.fetchone() == (0,)


class TestTooLong:
    def test_the_escalation_within_the_grace(self, workers):
        limits = {"timeout": timedelta(seconds=1), "max_attempts": 2}
        thread = jobs.enqueue(work.overlong, **limits)
        task = jobs.enqueue(work.overlong_async, **limits)
        in_time = jobs.enqueue(work.late_but_done, **limits)
        snooze = jobs.enqueue(work.late_wish, {"wish": "snooze"}, **limits)
        other_error = jobs.enqueue(work.late_wish, {"wish": "value"}, **limits)
        ids = [thread, task, snooze, other_error]
        workers.start()
        all_in(JobState.SUCCEEDED, in_time)
        all_in(JobState.FAILED, *ids)
        assert row(in_time).result == "in time"
        assert history(in_time) == []
        for job_id in ids:
            assert history(job_id) == [(1, "timed_out")], row(job_id).job_type
        assert attempt_of(thread).error_class == "django_flare.errors.JobTimeout"
        assert row(thread).error_message.startswith(
            "JobTimeout: the attempt ran longer than its timeout of 0:00:01"
        )
        assert "in overlong" in attempt_of(thread).traceback
        assert events(thread) == ["started", "told", "raised JobTimeout"]
        assert events(task) == ["started", "raised JobTimeout"]
        # The token at the deadline, the exception a second later; from the claim, a little before the start.
        at = dict(Ledger.objects.filter(job_id=thread).values_list("event", "at"))
        claimed_at = attempt_of(thread).started_at
        assert (at["told"] - claimed_at).total_seconds() >= 1
        assert (at["raised JobTimeout"] - claimed_at).total_seconds() >= 2

        # On SQLite its transaction locks the whole file, also against the worker's own beats.
        atomic = jobs.enqueue(work.atomic_work, {"gate": "/nowhere/at/all"}, **limits)
        all_in(JobState.FAILED, atomic)
        assert history(atomic) == [(1, "timed_out")]
        record = attempt_of(atomic)
        assert (record.ended_at - record.started_at).total_seconds() < 8
        assert effects(atomic) == []

    def test_a_handler_that_swallows_everything_loses_its_slot(self, workers, gate):
        """F49, F04: without a supervisor the next job runs beside the thread that nobody can end."""
        deaf = jobs.enqueue(work.deaf, {"gate": gate.path}, timeout=timedelta(seconds=1), max_attempts=1)
        worker = workers.start("--concurrency", 1, "--processes", 0, flare={"TIMEOUT_GRACE": 2})
        happened("started", deaf)
        after = [jobs.enqueue(work.good) for _ in range(3)]
        all_in(JobState.SUCCEEDED, *after)
        assert states(deaf) == [JobState.DEAD_LETTER]
        assert history(deaf) == [(1, "timed_out")]
        assert "did not end when told to" in row(deaf).error_message
        record = attempt_of(deaf)
        assert (record.ended_at - record.started_at).total_seconds() < 8
        assert events(deaf) == ["started"]
        # Its late end changes nothing.
        before = row(deaf)
        gate.open()
        happened("finished", deaf)
        last = jobs.enqueue(work.good)
        all_in(JobState.SUCCEEDED, last)
        assert (row(deaf).state, row(deaf).completed_at) == (before.state, before.completed_at)
        assert worker.terminate().exit_code() == 0
