"""A database of its own, and the processes of both releases on it."""

import os
import secrets
import subprocess
import sys
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.system.support import ROOT, WorkerProcess, database_url, eventually

LEDGER = """
    CREATE TABLE upgrade_ledger (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event text, job_id text, code text
    )
    """


class Stage:
    """Run either release's code, which is named by its folder."""

    def __init__(self):
        self._name = f"test_flare_upgrade_{secrets.token_hex(6)}"
        self._server = database_url()
        self.url = urlunsplit(urlsplit(self._server)._replace(path=f"/{self._name}"))
        self.workers, self.feeders = [], []

    def open(self):
        self._administer(f"CREATE DATABASE {self._name}")

    def close(self):
        """End all processes, and the database."""
        for process in [*self.workers, *self.feeders]:
            process.end()
        for worker in self.workers:
            # pytest shows it when a test has failed.
            print(f"--- worker {worker.pid} ---\n{worker.log}")  # noqa: T201
        self._administer(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def _administer(self, statement):
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement)

    def query(self, statement, *parameters):
        """Run a statement in a transaction of its own; return its rows."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def migrate(self, code):
        """Migrate with this code; return the names of the package's migrations that were applied by it."""
        before = self._migrations()
        command = [sys.executable, "-m", "django", "migrate", "--no-input", "--skip-checks", "--verbosity=0"]
        subprocess.run(command, env=self._environment(code), check=True)
        return self._migrations() - before

    def _migrations(self):
        if self.query("SELECT to_regclass('django_migrations')") == [(None,)]:
            return set()
        return {
            name for (name,) in self.query("SELECT name FROM django_migrations WHERE app = 'django_flare'")
        }

    def start(self, code):
        """Start a worker and a process that enqueues."""
        self.workers.append(WorkerProcess("--log-format", "json", environment=self._chosen(code)))
        self.feeders.append(Feeder(self._environment(code)))

    def eventually(self, predicate):
        """Wait until `predicate` is true, while all processes live."""
        eventually(lambda: predicate() or self._assert_all_live())

    def _assert_all_live(self):
        for process in [*self.workers, *self.feeders]:
            assert process.is_alive, "a process has ended"

    def _environment(self, code):
        return {**os.environ, **self._chosen(code)}

    def _chosen(self, code):
        return {
            "DJANGO_SETTINGS_MODULE": "tests.upgrade.settings",
            "FLARE_UPGRADE_URL": self.url,
            # The package from `code`, the rest from here; not from the folder that we happen to be in.
            "PYTHONPATH": f"{code}{os.pathsep}{ROOT}",
            "PYTHONSAFEPATH": "1",
        }


class Feeder:
    """A process that enqueues."""

    def __init__(self, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.upgrade.feed"], env=environment, stdin=subprocess.PIPE
        )

    @property
    def is_alive(self):
        return self._process.poll() is None

    def finish(self):
        """Let it end its round; return its exit code."""
        self._process.stdin.close()
        return self._process.wait(30)

    def end(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
