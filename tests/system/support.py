"""Real worker processes: started, watched through their log and their rows, killed, never left behind."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

from django.db import connection
from django.db.models import F

from django_flare.models import Attempt, Job, Worker
from django_flare.states import FINAL
from tests.proxy import Proxy
from tests.testapp.models import Effect, Ledger

ROOT = Path(__file__).parents[2]
PATIENCE = 30
"""Seconds until something that does not happen is a failure; more than SQLite's busy timeout of 20."""

SHORT_LEASE = {"LEASE": 3, "BEAT": 0.5}
NO_BACKOFF = {"BACKOFF": {"base": 0, "cap": 0, "jitter": 0}}

_READY = re.compile(r"worker (wrk_\S+) on database")


def eventually(predicate, timeout=PATIENCE):
    """Ask `predicate` again and again until it is true; return what it said, or fail with its last answer."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (answer := predicate()):
        assert time.monotonic() < deadline, (
            f"it did not happen in {timeout} s; the last answer was {answer!r}"
        )
        pause.wait(0.02)
    return answer


class WorkerProcess:
    """One `flare_worker` process and its log."""

    def __init__(self, *arguments, flare=None, environment=None):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FLARE_WORKER_")}
        settings = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "FLARE_TEST_SETTINGS": json.dumps(flare or {}),
        }
        self._lines = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "django", "flare_worker", "--skip-checks", *map(str, arguments)],
            cwd=ROOT,
            env={**inherited, **settings, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def log(self):
        """All that it has written to stdout and stderr so far."""
        return "".join(list(self._lines))

    @property
    def worker_id(self):
        """The id under which it started."""
        return _READY.search(self.log)[1]

    @property
    def worker_ids(self):
        """All ids that were said, in order."""
        return _READY.findall(self.log)

    @property
    def children(self):
        """The process ids of its living workers, and of dead ones that nobody has reaped."""
        return [pid for pid in self._offspring() if not _is_on_errand(pid)]

    @property
    def errands(self):
        """The process ids of those that take back runs for it, as long as they live."""
        return [pid for pid in self._offspring() if _is_on_errand(pid)]

    def _offspring(self):
        return [pid for pid, stat in _processes() if stat[1] == str(self.pid)]

    def child(self):
        """Wait for its only child; return its process id."""
        (pid,) = eventually(lambda: self.children if len(self.children) == 1 else None)
        return pid

    @property
    def is_alive(self):
        return self._process.poll() is None

    @property
    def cpu_seconds(self):
        """Processor time that it has used."""
        used = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")

    def says(self, text, times=1):
        """Wait until the log holds `text` that many times."""
        eventually(lambda: self.log.count(text) >= times or self._assert_alive(text))
        return self

    def _assert_alive(self, text):
        assert self.is_alive or text in self._rest(), f"it ended without saying {text!r}:\n{self.log}"

    def _rest(self):
        self._reader.join(PATIENCE)
        return self.log

    def ready(self):
        """Wait until it has registered and handles signals."""
        return self.says("slots, queues:")

    def signal(self, number):
        self._process.send_signal(number)
        return self

    def terminate(self):
        return self.signal(signal.SIGTERM)

    def freeze(self):
        """SIGSTOP; return when it stands still and holds no lock on a whole SQLite file."""
        eventually(self._is_frozen_without_lock)
        return self

    def _is_frozen_without_lock(self):
        self.signal(signal.SIGSTOP)
        eventually(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        if _can_write():
            return True
        self.thaw()
        return False

    def thaw(self):
        return self.signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL; return when it is gone."""
        self.signal(signal.SIGKILL)
        assert self.exit_code() == -signal.SIGKILL
        return self

    def exit_code(self, timeout=PATIENCE):
        """Wait for its end; return the exit code, negative for a signal."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {timeout} s:\n{self.log}") from None
        self._reader.join(PATIENCE)
        return code

    def end(self):
        """End it whatever it does."""
        if self.is_alive:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)
        self._process.stdout.close()


def _processes():
    """Return each process with its state, its parent and what follows in /proc/<pid>/stat."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = file.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(file.parent.name), text.rpartition(")")[2].split()


def _is_on_errand(pid):
    try:
        return b"FLARE_WORKER_ERRAND=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def is_there(pid):
    """Tell whether the process lives; a zombie does not."""
    return any(pid == each and stat[0] != "Z" for each, stat in _processes())


def zombies(pids):
    """Return those of the processes that have ended and were not reaped."""
    return [pid for pid, stat in _processes() if pid in pids and stat[0] == "Z"]


def _can_write():
    if connection.vendor != "sqlite":
        return True
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0.2, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        other.close()
    return True


class Workers:
    """Start workers, and let none of them outlive the test."""

    def __init__(self):
        self.all = []
        self.options = []
        """What every worker is told before its own arguments."""

    def start(self, *arguments, flare=None, environment=None):
        """Start a worker; `flare` are settings beside the short lease; return when it is ready."""
        return self.launch(*arguments, flare=flare, environment=environment).ready()

    def launch(self, *arguments, flare=None, environment=None):
        """Start a worker without waiting for anything."""
        worker = WorkerProcess(
            *self.options, *arguments, flare={**SHORT_LEASE, **(flare or {})}, environment=environment
        )
        self.all.append(worker)
        return worker

    def burst(self, *arguments, flare=None, environment=None):
        """Let a worker run all there is and end well; return it."""
        worker = self.launch("--burst", *arguments, flare=flare, environment=environment)
        code = worker.exit_code()
        assert code == 0, f"exit code {code}:\n{worker.log}"
        return worker

    def end(self):
        for worker in self.all:
            worker.end()


# What the rows say.


def row(job_id):
    return Job.objects.get(public_id=job_id)


def states(*job_ids):
    """Return the states of the jobs, in order."""
    found = {str(key): state for key, state in Job.objects.values_list("public_id", "state")}
    return [found[job_id] for job_id in job_ids]


def all_in(state, *job_ids):
    """Wait until all the jobs are in `state`."""
    eventually(lambda: set(states(*job_ids)) == {state} or _none_went_astray(state, job_ids))


def _none_went_astray(wanted, job_ids):
    astray = {state for state in states(*job_ids) if state in FINAL and state != wanted}
    assert not astray, [(each, row(each).state, row(each).error_message) for each in job_ids]


def events(job_id, *names):
    """Return what the job wrote into the ledger, in order; with names, only these."""
    found = Ledger.objects.filter(job_id=job_id).order_by("pk").values_list("event", flat=True)
    return [event for event in found if not names or event in names]


def happened(event, *job_ids):
    """Wait until each of the jobs has written `event`."""
    eventually(lambda: all(event in events(job_id) for job_id in job_ids))


def effects(job_id):
    return list(Effect.objects.filter(job_id=job_id).values_list("note", flat=True))


def history(job_id):
    """Return the recorded runs that did not succeed: (number, outcome), the oldest first."""
    return list(
        Attempt.objects.filter(job__public_id=job_id).order_by("fence").values_list("number", "outcome")
    )


def attempt_of(job_id):
    """Return the only recorded run of the job."""
    return Attempt.objects.get(job__public_id=job_id)


def let_lease_run_out(worker_id):
    """Make the last beat of a worker that has died an hour old, so that nobody waits for the lease."""
    Worker.objects.filter(pk=worker_id).update(last_beat_at=F("last_beat_at") - timedelta(hours=1))


# The network between.


def database_url():
    """Return the URL of the server that the tests use."""
    kind = "POSTGRES" if connection.vendor == "postgresql" else "MARIADB"
    return os.environ[f"FLARE_TEST_{kind}_URL"]


def proxied():
    """Start a proxy before the tests' server."""
    url = urlsplit(database_url())
    return Proxy(url.hostname, url.port)


def by_way_of(port, url=None):
    """Return the URL of the tests' server, or of that at `url`, through `port` of the loopback address."""
    parts = urlsplit(url or database_url())
    login = parts.netloc.rpartition("@")[0]
    query = "sslmode=disable" if parts.scheme == "postgres" else ""
    return urlunsplit((parts.scheme, f"{login}@127.0.0.1:{port}", parts.path, query, ""))


def environment_by_way_of(port):
    """Let a worker reach the server through `port`."""
    kind = "POSTGRES" if connection.vendor == "postgresql" else "MARIADB"
    return {f"FLARE_TEST_{kind}_URL": by_way_of(port)}


@contextlib.contextmanager
def connected_by_way_of(port):
    """Let this process reach the server through `port`."""
    options = dict(connection.settings_dict["OPTIONS"])
    if connection.vendor == "postgresql":
        options["sslmode"] = "disable"
    connection.close()
    with mock.patch.dict(connection.settings_dict, {"HOST": "127.0.0.1", "PORT": port, "OPTIONS": options}):
        yield
        connection.close()
