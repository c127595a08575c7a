"""Everything that a campaign needs to run: the server, the workers, the clients, and the proxies between."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.clocks import Clock
from tests.chaos.cluster import Cluster
from tests.chaos.processes import Group, marked, started
from tests.chaos.settings import SLOTS
from tests.proxy import Proxy

_SHUTDOWN = 4
_LINES = 8
"""Connections that a worker process has beside those of its slots, and its supervisor, at most."""
_STARTING = 90
_AT_WORK = r"(\d+) slots, queues"


class Site:
    """Two workers on which faults fall, a witness on which none on processes does, callers, and a server."""

    def __init__(self, scenario, folder):
        self.scenario = scenario
        self.folder = Path(folder)
        self.logs = self.folder / "clients"
        self.logs.mkdir()
        self.cluster = Cluster(self._reachable_folder(), **scenario.cluster)
        self.clock = Clock(folder)
        self.frozen = scenario.frozen
        self.long_transaction = min(300.0, scenario.seconds / 4)
        self.clean_stops = []
        self.groups = []
        self.others = []
        self._proxies = []
        self._is_ending = False

    def _reachable_folder(self):
        # The server may run under another account.
        self.folder.chmod(0o711)
        folder = self.folder / "cluster"
        folder.mkdir()
        return folder

    @property
    def url(self):
        return self.cluster.url

    def build(self):
        """Start everything; return when all workers are at work."""
        self.cluster.start()
        self.key = self._prepare()
        self.entry = self._proxy()
        self.targets = [self._group("a"), self._group("b", self.clock.environment)]
        self.shifted = self.targets[1]
        self.witness = self._group("witness", queues="default", processes=1, slots=4)
        for group in self.groups:
            group.start()
        self._start_api()
        self._await(lambda: all(len(group.says(_AT_WORK)) >= group.size for group in self.groups))

    def _prepare(self):
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.prepare", self.scenario.planted],
            env={
                **os.environ,
                **self._environment(self.url),
                "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip().splitlines()[-1]

    def _environment(self, url):
        environment = {"CHAOS_URL": url, "CHAOS_LEDGER_URL": self.url, "CHAOS_LOGS": str(self.logs)}
        return (
            {**environment, "CHAOS_PLANTED": self.scenario.planted} if self.scenario.planted else environment
        )

    def _proxy(self):
        proxy = Proxy("127.0.0.1", self.cluster.port, remembered=4096)
        self._proxies.append(proxy)
        return proxy

    def _by_way_of(self, proxy):
        parts = urlsplit(self.url)
        return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{proxy.port}").geturl()

    def _group(self, name, more=None, queues="", processes=2, slots=SLOTS):
        proxy = self._proxy()
        options = ["--processes", processes, "--concurrency", slots, "--shutdown-timeout", _SHUTDOWN]
        options += ["--queues", queues] if queues else []
        environment = {**self._environment(self._by_way_of(proxy)), **(more or {})}
        group = Group(name, options, environment, self.folder, proxy)
        group.size = processes
        group.sessions = processes * (slots + _LINES)
        self.groups.append(group)
        return group

    def _start_api(self):
        port = _free_port()
        self.api = f"http://127.0.0.1:{port}/flare/"
        self._start("api", "django", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{port}")
        self._await(lambda: _answers(port))

    def start_clients(self):
        order = {
            **{
                name: getattr(self.scenario, name)
                for name in ("seed", "jobs", "seconds", "shares", "over_http")
            },
            "logs": str(self.logs),
            "api": self.api,
            "key": self.key,
        }
        self._start("clients", "tests.chaos.clients", json.dumps(order))

    def _start(self, part, *command):
        log = (self.folder / f"{part}.log").open("ab")
        environment = self._environment(self._by_way_of(self.entry))
        self.others.append(started(part, *command, environment=environment, log=log))

    @property
    def are_callers_done(self):
        if self.others[-1].poll() is not None:
            raise RuntimeError((self.folder / "clients.log").read_text()[-3000:])
        return (self.logs / "callers-are-done").exists()

    def _await(self, is_so):
        until = time.monotonic() + _STARTING
        while not is_so():
            if time.monotonic() > until:
                logs = [path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log")]
                raise RuntimeError("The campaign did not start:\n" + "\n".join(logs))
            time.sleep(0.1)

    def mend(self):
        """Start workers again that have ended by themselves."""
        if not self._is_ending:
            for group in self.groups:
                group.mend()

    def end_workers(self):
        """Stop workers and clients in order; return the processes that are left behind."""
        self._is_ending = True
        for process in self.others:
            process.terminate()
        for group in self.groups:
            if group.is_alive:
                os.kill(group.supervisor, signal.SIGTERM)
        for group in self.groups:
            group.wait(_SHUTDOWN + 20)
        for process in self.others:
            process.wait(20)
        time.sleep(1)
        ours = {self.cluster.process.pid}
        return [line for pid, line in marked().items() if pid not in ours and "postgres" not in line]

    def end(self):
        self._is_ending = True
        for group in self.groups:
            group.end()
        for process in self.others:
            process.kill()
            process.wait()
        for proxy in self._proxies:
            proxy.__exit__()
        self.cluster.stop()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
