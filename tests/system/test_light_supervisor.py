"""A supervisor that holds no Django, in the process that Django's command began in."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from django_flare import JobState, jobs
from tests.system.support import ROOT, all_in, eventually, happened, row
from tests.testapp import system_jobs as work

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.whole_run_on("sqlite"),  # about processes, whatever the database
]

WHOLE = "The supervisor keeps all of Django in memory: "

SPY = """
import os, pathlib, signal, sys
def tell(*_):
    (pathlib.Path(__file__).parent / f"modules.{os.getpid()}").write_text(" ".join([*sys.modules, "."]))
signal.signal(signal.SIGUSR1, tell)
"""


@pytest.fixture
def spied(tmp_path):
    """Return the environment of a worker whose processes say on SIGUSR1 what they have imported."""
    (tmp_path / "sitecustomize.py").write_text(SPY)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


def modules(folder, pid):
    """Return the names of what the process has imported."""
    os.kill(pid, signal.SIGUSR1)
    file = folder / f"modules.{pid}"
    return set(
        eventually(lambda: file.exists() and file.read_text().endswith(".") and file.read_text()).split()
    )


def of_django(names):
    return {name for name in names if name.partition(".")[0] in {"django", "rest_framework", "msgspec"}}


def memory(pid):
    """Return the resident memory of the process in KiB."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def says(file, text):
    """Wait until the file holds the text."""
    eventually(lambda: file.exists() and text in file.read_text())


def logging_to(path, **formatter):
    """Return the variable that gives the project a LOGGING whose lines go to a file."""
    return {
        "FLARE_TEST_LOGGING": json.dumps(
            {
                "version": 1,
                "disable_existing_loggers": True,
                "formatters": {"one": formatter or {"format": "theirs: %(message)s"}},
                "handlers": {
                    "file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "one"}
                },
                "root": {"handlers": ["file"], "level": "INFO"},
            }
        )
    }


class TestWithoutDjango:
    def test_it_has_imported_nothing_of_django_and_is_far_smaller_than_a_child(
        self, workers, spied, tmp_path
    ):
        worker = workers.start(environment=spied)
        child = worker.child()
        found, whole = modules(tmp_path, worker.pid), modules(tmp_path, child)
        assert "django_flare.worker.supervisor" in found
        assert of_django(found) == set()
        assert {"django.db.models", "django_flare.models"} <= whole
        assert memory(worker.pid) < memory(child) / 2
        assert WHOLE not in worker.log
        assert worker.terminate().exit_code() == 0

    def test_nor_do_probes_need_it(self, workers, spied, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        worker = workers.start("--health-port", port, environment=spied)
        found = modules(tmp_path, worker.pid)
        assert "django_flare.worker.health" in found
        assert of_django(found) == set()

    def test_what_it_was_told_is_not_passed_on(self, workers):
        worker = workers.start()
        environment = Path(f"/proc/{worker.child()}/environ").read_bytes()
        assert b"FLARE_WORKER_CHILD=" in environment
        assert b"FLARE_WORKER_SUPERVISOR" not in environment

    def test_it_is_found_by_the_words_of_the_command(self, workers):
        worker = workers.start("--concurrency", 3)
        line = Path(f"/proc/{worker.pid}/cmdline").read_bytes().split(b"\0")
        assert line[-5:] == [b"flare_worker", b"--skip-checks", b"--concurrency", b"3", b""]

    def test_with_json_a_port_that_is_taken_is_an_object_and_exit_code_2(self, workers):
        with socket.create_server(("127.0.0.1", 0)) as server:
            taken = server.getsockname()[1]
            worker = workers.launch("--health-port", taken, "--log-format", "json")
            assert worker.exit_code() == 2
        (line,) = worker.log.splitlines()
        assert json.loads(line)["message"] == (
            f"CommandError: --health-port: 127.0.0.1:{taken} cannot be had: Address already in use"
        )

    def test_modules_are_found_where_the_command_found_them(self, tmp_path):
        """Here nothing but manage.py knows of them, and the current folder has a trap."""
        (tmp_path / "manage.py").write_text(
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "from django.core.management import execute_from_command_line\n"
            "execute_from_command_line(sys.argv)\n"
        )
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "json.py").write_text("raise SystemExit('the trap')")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        process = subprocess.Popen(
            [sys.executable, tmp_path / "manage.py", "flare_worker", "--skip-checks"],
            cwd=elsewhere,
            env={**environment, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stderr=subprocess.PIPE,
            text=True,
        )
        said = [process.stderr.readline() for _ in range(3)]
        process.terminate()
        rest = process.stderr.read()
        assert process.wait() == 0, (said, rest)
        process.stderr.close()
        assert f"Supervisor {process.pid} with 1 processes" in said[0]
        assert "slots, queues:" in said[2]


class TestTheProjectsLog:
    def test_its_handler_gets_the_supervisors_lines(self, workers, spied, tmp_path):
        """Django's settings are imported for that, and no app, model or database driver."""
        file = tmp_path / "log"
        worker = workers.launch(environment={**spied, **logging_to(file)})
        says(file, "slots, queues:")
        assert f"theirs: Supervisor {worker.pid} with 1 processes\n" in file.read_text()
        found = modules(tmp_path, worker.pid)
        assert "tests.settings" in found
        assert not found & {"django.apps.registry", "django.db.models", "django_flare.models"}
        os.kill(child := worker.child(), signal.SIGKILL)
        says(file, f"theirs: Process {child} has died: killed by SIGKILL")
        assert worker.terminate().exit_code() == 0
        assert f"theirs: Supervisor {worker.pid} has ended\n" in file.read_text()
        assert WHOLE not in file.read_text()
        assert worker.log == ""

    def test_with_json_its_files_stay(self, workers, tmp_path):
        file = tmp_path / "log"
        worker = workers.launch("--log-format", "json", environment=logging_to(file))
        says(file, "slots, queues:")
        assert worker.terminate().exit_code() == 0
        first = json.loads(worker.log.splitlines()[0])
        assert first["message"] == f"Supervisor {worker.pid} with 1 processes"
        assert f"theirs: {first['message']}\n" in file.read_text()

    def test_where_it_needs_the_apps_the_process_is_given_back_to_django(self, workers, tmp_path):
        file = tmp_path / "log"
        needy = {"()": "tests.system.log_parts.NeedsApps"}
        worker = workers.launch("--concurrency", 1, environment=logging_to(file, **needy))
        says(file, "slots, queues:")
        text = file.read_text()
        assert f"formatted: {WHOLE}AppRegistryNotReady: Apps aren't loaded yet." in text
        assert text.count(f"formatted: Supervisor {worker.pid} with 1 processes") == 1
        os.kill(worker.child(), signal.SIGKILL)
        all_in(JobState.SUCCEEDED, jobs.enqueue(work.good))
        assert worker.terminate().exit_code() == 0
        assert f"formatted: Supervisor {worker.pid} has ended" in file.read_text()
        assert worker.log == ""

    def test_with_a_handler_that_nobody_knows_the_process_stays_djangos(self, workers):
        settings = {
            "version": 1,
            "handlers": {"theirs": {"class": "tests.system.log_parts.OfTheirOwn"}},
            "loggers": {"django_flare": {"handlers": ["theirs"], "level": "INFO"}},
        }
        worker = workers.start(environment={"FLARE_TEST_LOGGING": json.dumps(settings)})
        first, second, *_ = worker.log.splitlines()
        assert first == (f"{WHOLE}the log handler tests.system.log_parts.OfTheirOwn may need Django's apps")
        assert second == f"Supervisor {worker.pid} with 1 processes"
        assert worker.terminate().exit_code() == 0


class TestErrands:
    LONG_LEASE = {"LEASE": 600, "BEAT": 0.5}

    def test_who_takes_runs_back_is_gone_afterwards(self, workers, gate):
        worker = workers.start("--processes", 2, "--concurrency", 1, flare=self.LONG_LEASE)
        ids = jobs.enqueue_many(work.hold, [{"gate": gate.path}] * 2)
        happened("started", *ids)
        for pid in worker.children:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: [row(each).losses for each in ids] == [1, 1])
        eventually(lambda: worker.errands == [])
        gate.open()
        all_in(JobState.SUCCEEDED, *ids)
