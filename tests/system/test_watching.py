"""What somebody on call gets from a real worker: probes, metrics, logs, stacks."""

import http.client
import json
import re
import signal
import socket

import pytest
from django.db import connection

from django_flare import jobs
from django_flare.models import Job, Queue
from tests.system.support import NO_BACKOFF, all_in, eventually, happened, states
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]


@pytest.fixture
def port():
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def ask(port, path):
    """Return status and text, or None when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return None
    finally:
        connection.close()


def answers(port, path, status):
    """Wait until `path` is answered with `status`; return the text."""

    def answered():
        found = ask(port, path)
        return found if found and found[0] == status else None

    return eventually(answered)[1]


def test_a_worker_is_alive_ready_and_counts(workers, port):
    worker = workers.start("--health-port", port)
    assert answers(port, "/readyz", 200) == "ok\n"
    assert ask(port, "/livez") == (200, "ok\n")
    job_id = jobs.enqueue(work.quick, {"n": 1})
    all_in("succeeded", job_id)

    def counted():
        text = ask(port, "/metrics")[1]
        return 'flare_runs_finished_total{state="succeeded"} 1.0' in text and text

    assert "flare_jobs_claimed_total 1.0" in eventually(counted)
    assert worker.terminate().exit_code() == 0
    assert ask(port, "/livez") is None


def test_what_processes_have_counted_outlives_them(workers, port):
    """Nobody has asked while they lived."""
    workers.start("--health-port", port, "--max-jobs", 5, "--concurrency", 1)
    all_in("succeeded", *[jobs.enqueue(work.quick, {"n": n}) for n in range(15)])

    def counted():
        return 'flare_runs_finished_total{state="succeeded"} 15.0' in ask(port, "/metrics")[1]

    eventually(counted)


def test_a_worker_that_stops_is_no_longer_ready(workers, gate, port):
    worker = workers.start("--health-port", port)
    job_id = jobs.enqueue(work.hold, {"gate": gate.path})
    happened("started", job_id)
    worker.terminate().says("Stopping: 1 jobs in hand")
    assert ask(port, "/readyz") == (503, "stopping\n")
    assert ask(port, "/livez") == (200, "ok\n")
    gate.open()
    assert worker.exit_code() == 0


def test_a_blocked_claim_loop_fails_the_probe(workers, gate, port):
    """F60: the process lives, the loop does not; LEASE is 3 s here."""
    worker = workers.start("--health-port", port)
    answers(port, "/readyz", 200)
    jobs.enqueue(work.block_the_claim_loop, {"gate": gate.path})
    assert re.fullmatch(r"wrk_\S+: the claim loop is \d+ s overdue\n", answers(port, "/livez", 503))
    assert ask(port, "/readyz")[0] == 503
    assert worker.is_alive
    gate.open()
    answers(port, "/livez", 200)
    answers(port, "/readyz", 200)


def test_a_worker_waits_for_the_migrations_of_its_version(workers, port):
    """Workers of a rolling deploy may come before `migrate` has run: no exit, no lost attempt, one line."""
    there, away = Queue._meta.db_table, "not_there_yet"
    with connection.schema_editor() as editor:
        editor.alter_db_table(Queue, there, away)
    try:
        job_id = jobs.enqueue(work.quick, {"n": 1})
        worker = workers.start("--health-port", port)
        assert "the database has refused the claim loop for" in answers(port, "/readyz", 503)
        assert ask(port, "/livez") == (200, "ok\n")
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Queue, away, there)
    all_in("succeeded", job_id)
    answers(port, "/readyz", 200)
    assert worker.log.count("The database refuses what the worker needs; trying again") == 1
    assert Job.objects.get().attempt == 1


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(workers):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        worker = workers.launch("--health-port", taken)
        assert worker.exit_code() == 2
    (line,) = worker.log.splitlines()
    assert line == f"CommandError: --health-port: 127.0.0.1:{taken} cannot be had: Address already in use"


def test_with_json_a_bad_option_is_an_object_too(workers):
    worker = workers.launch("--log-format", "json", "--concurrency", 0)
    assert worker.exit_code() == 2
    (line,) = worker.log.splitlines()
    said = json.loads(line)
    assert (said["level"], said["message"]) == (
        "ERROR",
        "CommandError: --concurrency: 0, a whole number from 1 to 1000",
    )


NASTY = "first\n2026-01-01 00:00:00,000 ERROR forged\r\x1b[31mred\x1b[0m \u2028"


def test_json_logs_are_an_object_a_line_whatever_a_job_does(workers):
    job_id = jobs.enqueue(work.log_and_fail, {"text": NASTY, "elsewhere": True}, max_attempts=2)
    worker = workers.burst("--log-format", "json", flare=NO_BACKOFF)
    assert states(job_id) == ["dead_letter"]
    found = [json.loads(line) for line in worker.log.splitlines()]
    assert all({"time", "level", "logger", "message", "worker_id", "pid"} <= set(each) for each in found)
    about = [each for each in found if each.get("job_id") == job_id]
    assert [(each["logger"], each["level"], each["attempt"]) for each in about] == [
        ("django_flare.job", "INFO", 1),
        ("django_flare.worker", "WARNING", 1),
        ("django_flare.job", "INFO", 2),
        ("django_flare.worker", "ERROR", 2),
    ]
    assert about[0]["message"] == f"about to fail: {NASTY}"
    assert (about[3]["state"], about[3]["job_type"], about[3]["queue"]) == (
        "dead_letter",
        "system.log_and_fail",
        "default",
    )
    assert about[3]["duration"] >= 0
    (theirs,) = {each["message"] for each in found if each["logger"] == "shop"}
    assert theirs == f"theirs: {NASTY}"
    (warned,) = {each["message"] for each in found if each["logger"] == "py.warnings"}
    assert "careful" in warned


def test_text_logs_cannot_be_forged(workers):
    jobs.enqueue(work.log_and_fail, {"text": NASTY}, max_attempts=1)
    worker = workers.burst()
    lines = worker.log.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|ERROR) ", line) for line in lines)
    assert not [line for line in lines if line.startswith("2026-01-01")]
    assert not [line for line in lines if "\x1b" in line or "\r" in line]
    assert [line for line in lines if "about to fail: first\\n2026-01-01" in line]


def test_sigquit_writes_the_stacks_and_the_worker_goes_on(workers, gate):
    worker = workers.start()
    held = jobs.enqueue(work.hold, {"gate": gate.path})
    happened("started", held)
    for times in (1, 2):
        worker.signal(signal.SIGQUIT).says(" is flare-dispatcher", times).says(" is MainThread", times)
    for name in ("flare-slot", "flare-heartbeat", "flare-housekeeper", "flare-watchdog"):
        assert f" is {name}\n" in worker.log
    # The handler's own line is in the dump.
    assert re.search(r"system_jobs\.py\", line \d+ in (hold|_wait_for)", worker.log)
    gate.open()
    all_in("succeeded", held)
    assert worker.terminate().exit_code() == 0


def test_with_json_the_stacks_are_one_record(workers):
    worker = workers.start("--log-format", "json")
    # Then all its threads run.
    all_in("succeeded", jobs.enqueue(work.quick, {}))
    for times in (1, 2, 3):
        worker.signal(signal.SIGQUIT).says("Stacks of all threads", times)
    assert worker.terminate().exit_code() == 0
    found = [json.loads(line) for line in worker.log.splitlines()]
    stacks = [each["message"] for each in found if each["message"].startswith("Stacks")]
    assert len(stacks) == 3
    assert all("\nflare-dispatcher:\n" in each for each in stacks)
    # A thread may be seen at a moment in which it has no frame.
    assert any("dispatcher.py" in each for each in stacks)
