"""The demo's own installation of the shop: a folder, a database, a server, a worker and an API key."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from urllib.parse import quote

from example_project.demo.client import ShopClient
from example_project.demo.errors import DemoError
from example_project.demo.processes import ROOT, Program, run

USER = PASSWORD = "demo"  # noqa: S105 - printed, for a database that is thrown away

_MARK = ".flare-demo"
_START_SECONDS = 20
_STOP_SECONDS = 10
# Not the demo's: what the shell has for another project or another worker.
_FOREIGN = ("FLARE_", "DJANGO_")


class Site:
    """A folder with a migrated database in it, and the programs that serve it once `start` was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mail = folder / "mail"
        self.reports = folder / "reports"
        self.database = folder / "db.sqlite3"
        self.port = _free_port()
        self.client = ShopClient(self.port)
        self.api_key = ""
        self._programs: list[Program] = []

    def prepare(self) -> None:
        """Make the folder anew, migrate the database, fill it with products, the admin's user and a key."""
        _make_anew(self.folder)
        account = {f"DJANGO_SUPERUSER_{key}": USER for key in ("USERNAME", "PASSWORD")}
        environment = {**self._environment(), **account, "DJANGO_SUPERUSER_EMAIL": "demo@example.com"}
        for arguments in (["migrate"], ["seed"], ["createsuperuser", "--noinput"]):
            run(arguments, self.folder / f"{arguments[0]}.log", environment)
        log = self.folder / "flare_apikey.log"
        self.api_key = run(["flare_apikey", "create", "warehouse", "--scope", "write"], log, environment)[-1]
        log.unlink()

    def start(self) -> None:
        """Start the server and the worker, and wait until the server answers."""
        server = ["runserver", "--noreload", f"127.0.0.1:{self.port}"]
        worker = ["flare_worker", "--concurrency", "4", "--shutdown-timeout", "5"]
        self._start(server, debug=True)
        # Under DEBUG the worker would watch its code and restart itself.
        self._start(worker, debug=False)
        deadline = time.monotonic() + _START_SECONDS
        while not self.client.is_there():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"The server does not answer after {_START_SECONDS} s")
            time.sleep(0.05)

    def run_warehouse(self) -> list[str]:
        """Run the program that uses the HTTP API from outside, to its end; return what it wrote."""
        environment = {**self._environment(), "FLARE_API_KEY": self.api_key}
        # Straight to the server, whatever proxy the environment names.
        environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        # Whatever it imports, no Django project is set up for it.
        del environment["DJANGO_SETTINGS_MODULE"]
        arguments = ["-m", "example_project.warehouse", f"http://127.0.0.1:{self.port}/flare"]
        log = self.folder / "warehouse.log"
        return run(arguments, log, environment, command=[sys.executable])

    def check(self) -> None:
        """Raise DemoError if the server or the worker has ended."""
        for program in self._programs:
            program.check()

    def stop(self) -> list[str]:
        """Stop the server and the worker; return what is wrong with how they ended."""
        problems = []
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            for program in self._programs:
                program.terminate()
            while self._programs:
                problems += _end(self._programs[-1], max(deadline - time.monotonic(), 0.1))
                self._programs.pop()
        finally:
            # Some are left only when we were interrupted here.
            for program in self._programs:
                program.kill()
        return problems

    def tails(self) -> str:
        """Return the last lines that the server and the worker have written."""
        return "\n".join(program.tail() for program in self._programs)

    def serve_command(self) -> str:
        """Return the command that starts the server on this database again."""
        command = [short(Path(sys.executable)), short(ROOT / "manage.py"), "runserver"]
        return shlex.join(["env", f"DATABASE_URL={self._database_url()}", *command])

    def _start(self, arguments: list[str], *, debug: bool) -> None:
        environment = {**self._environment(), "DEBUG": "yes" if debug else "no"}
        self._programs.append(Program(arguments, self.folder / f"{arguments[0]}.log", environment))

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        return {
            **kept,
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            # One server counts the requests to the API.
            "CACHE_URL": "locmemcache://",
            "DATABASE_URL": self._database_url(),
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "EMAIL_FILE_PATH": str(self.mail),
            "HTTPS": "no",
            "LABEL_SECONDS": "0.3",
            "PAYMENT_SECONDS": "0.8",
            "PYTHONUNBUFFERED": "1",
            "REPORTS_DIR": str(self.reports),
        }

    def _database_url(self) -> str:
        return f"sqlite:///{quote(str(self.database))}"


def chosen_folder() -> Path:
    """Return FLARE_DEMO_DIR, or `var/demo` beside manage.py."""
    return Path(os.environ.get("FLARE_DEMO_DIR") or ROOT / "var" / "demo").resolve()


def short(path: Path) -> str:
    """Return the path as seen from here, if it is below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _make_anew(folder: Path) -> None:
    """Empty the folder, if it is one that an earlier demo has made."""
    try:
        if folder.exists():
            if any(folder.iterdir()) and not (folder / _MARK).exists():
                raise DemoError(
                    f"{folder} holds other files; FLARE_DEMO_DIR must be empty or an earlier demo's"
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / _MARK).touch()
        (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise DemoError(f"The demo's folder cannot be made: {error}") from error


def _end(program: Program, seconds: float) -> list[str]:
    try:
        status = program.wait(seconds)
    except DemoError as error:
        return [f"{error}\n{program.tail()}"]
    # Django's server has no handler for the signal, so it dies of it.
    if status in (0, -signal.SIGTERM):
        return []
    return [f"{program.name} ended with status {status}\n{program.tail()}"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
